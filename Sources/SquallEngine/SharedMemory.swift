internal import CSquall
internal import Glibc

/// Memory without a name that processes share by its descriptor (memfd_create(2)). It stands as long as
/// one of them has it: what a process wrote outlives that process.
@safe package struct SharedMemory: ~Copyable {
  package let base: UnsafeMutableRawPointer
  package let byteCount: Int
  /// What another process inherits; closed with this.
  package let descriptor: Int32

  /// New memory, all zero. `label` is what proc(5) shows of it.
  package init(_ label: String, byteCount: Int) throws(SystemError) {
    let descriptor = try SystemError.check(
      "memfd_create", unsafe squall_memory_create(label, UInt64(byteCount)))
    guard let base = unsafe squall_memory_map(descriptor, UInt64(byteCount)) else {
      let error = SystemError.last("mmap")
      close(descriptor)
      throw error
    }
    unsafe self.base = base
    self.byteCount = byteCount
    self.descriptor = descriptor
  }

  /// What another `init` made, here or in another process. Takes the descriptor over.
  package init(inherited descriptor: Int32, magic: UInt64) throws(SystemError) {
    let byteCount = squall_memory_size(descriptor)
    guard byteCount >= MemoryLayout<UInt64>.size,
      let base = unsafe squall_memory_map(descriptor, UInt64(byteCount))
    else { throw SystemError.last("mmap") }
    precondition(
      unsafe base.load(as: UInt64.self) == magic,
      "the inherited memory was not made by a program of this build")
    unsafe self.base = base
    self.byteCount = Int(byteCount)
    self.descriptor = descriptor
  }

  deinit {
    unsafe squall_memory_unmap(base, UInt64(byteCount))
    close(descriptor)
  }
}

/// A word that one process writes and others read: what was written before it is seen by whoever sees it.
@safe package struct SharedWord {
  private let place: UnsafeMutablePointer<UInt64>

  @unsafe
  package init(at place: UnsafeMutablePointer<UInt64>) { unsafe self.place = place }

  package var value: UInt64 {
    get { unsafe squall_load_acquire(place) }
    nonmutating set { unsafe squall_store_release(place, newValue) }
  }
}
