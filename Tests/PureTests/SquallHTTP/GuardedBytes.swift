import Glibc

/// Memory whose last byte lies before a page that faults when touched, so that a parser that reads
/// past the end of what it was given dies on the spot. (The idea is picohttpparser's.)
final class GuardedBytes {
  private let base: UnsafeMutableRawPointer
  private let pageByteCount = sysconf(Int32(_SC_PAGESIZE))
  private let capacity: Int

  init(capacity: Int) {
    self.capacity = (capacity + pageByteCount - 1) / pageByteCount * pageByteCount
    let mapped = mmap(
      nil, self.capacity + pageByteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
      0)
    precondition(mapped != MAP_FAILED, "mmap failed")
    base = mapped!
    let status = mprotect(base + self.capacity, pageByteCount, PROT_NONE)
    precondition(status == 0, "mprotect failed")
  }

  deinit { munmap(base, capacity + pageByteCount) }

  /// Lends a copy of `bytes` that ends where the forbidden page begins.
  func lend<Result>(
    _ bytes: ArraySlice<UInt8>, _ body: (UnsafeRawBufferPointer) -> Result
  ) -> Result {
    precondition(bytes.count <= capacity, "more bytes than were mapped")
    let start = base + capacity - bytes.count
    bytes.withUnsafeBytes { if let from = $0.baseAddress { memcpy(start, from, bytes.count) } }
    return body(UnsafeRawBufferPointer(start: start, count: bytes.count))
  }
}
