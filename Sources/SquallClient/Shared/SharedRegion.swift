internal import CSquall
internal import Glibc
package import SquallEngine

/// The memory a worker inherits from its agent: what it is to do, and the pages it counts into.
///
///     header │ message │ setup… │ page 0 (warm-up) │ page 1 │ … │ page 8
///
/// It outlives the worker: after a SIGKILL the agent reads the pages as they were.
@safe package struct SharedRegion: ~Copyable {
  package static let magic: UInt64 = 0x3130_4c4c_4155_5153  // "SQUALL01"
  /// Pages for intervals. A worker whose agent reads none of them goes on counting in its last one.
  package static let intervalPageCount = 8
  /// Page 0 takes what was scheduled during the warm-up, for the whole run.
  package static let pageCount = 1 + intervalPageCount
  private static let headerByteCount = 4_096
  private static let messageStart = 64
  private static let messageByteCountMax = 1_024

  private let base: UnsafeMutableRawPointer
  private let byteCount: Int
  /// What a worker inherits; closed with the region.
  package let descriptor: Int32
  package let endpointCount: Int
  private let setupByteCount: Int

  /// New memory holding `setup`.
  package static func create(
    setup: [UInt8], endpointCount: Int
  ) throws(SystemError) -> SharedRegion {
    let byteCount =
      pagesStart(setupByteCount: setup.count)
      + pageCount * PageLayout.pageByteCount(endpointCount: endpointCount)
    let descriptor = try SystemError.check(
      "memfd_create", unsafe squall_memory_create("squall-worker", UInt64(byteCount)))
    guard let base = unsafe squall_memory_map(descriptor, UInt64(byteCount)) else {
      throw SystemError.last("mmap")
    }
    unsafe base.storeBytes(of: magic, toByteOffset: 0, as: UInt64.self)
    unsafe base.storeBytes(of: UInt64(setup.count), toByteOffset: 8, as: UInt64.self)
    unsafe base.storeBytes(of: UInt64(endpointCount), toByteOffset: 16, as: UInt64.self)
    unsafe (base + headerByteCount).copyMemory(from: setup, byteCount: setup.count)
    return unsafe SharedRegion(
      base: base, byteCount: byteCount, descriptor: descriptor, endpointCount: endpointCount,
      setupByteCount: setup.count)
  }

  /// Memory made by `create` in another process.
  package init(descriptor: Int32) throws(SystemError) {
    let byteCount = squall_memory_size(descriptor)
    guard byteCount > Self.headerByteCount,
      let base = unsafe squall_memory_map(descriptor, UInt64(byteCount))
    else { throw SystemError.last("mmap") }
    precondition(
      unsafe base.load(as: UInt64.self) == Self.magic,
      "the inherited memory is not a worker's region of this build")
    unsafe self.base = base
    self.byteCount = Int(byteCount)
    self.descriptor = descriptor
    setupByteCount = unsafe Int(base.load(fromByteOffset: 8, as: UInt64.self))
    endpointCount = unsafe Int(base.load(fromByteOffset: 16, as: UInt64.self))
  }

  private init(
    base: UnsafeMutableRawPointer, byteCount: Int, descriptor: Int32, endpointCount: Int,
    setupByteCount: Int
  ) {
    unsafe self.base = base
    self.byteCount = byteCount
    self.descriptor = descriptor
    self.endpointCount = endpointCount
    self.setupByteCount = setupByteCount
  }

  deinit {
    unsafe squall_memory_unmap(base, UInt64(byteCount))
    Glibc.close(descriptor)
  }

  private static func pagesStart(setupByteCount: Int) -> Int {
    (headerByteCount + setupByteCount + 4_095) & ~4_095
  }

  package var setup: [UInt8] {
    unsafe Array(
      UnsafeRawBufferPointer(start: base + Self.headerByteCount, count: setupByteCount))
  }

  package func page(_ index: Int) -> Page {
    precondition(index >= 0 && index < Self.pageCount, "no such page: \(index)")
    let pageByteCount = PageLayout.pageByteCount(endpointCount: endpointCount)
    return unsafe Page(
      at: base + Self.pagesStart(setupByteCount: setupByteCount) + index * pageByteCount,
      endpointCount: endpointCount)
  }

  /// Whether the worker's loop turns.
  package var pulse: Pulse { unsafe Pulse(at: base + 32) }

  /// Why the worker gave up, in its own words. Longer text is cut.
  package var message: String {
    get {
      let count = unsafe Int(base.load(fromByteOffset: 24, as: UInt64.self))
      return unsafe String(
        decoding: UnsafeRawBufferPointer(
          start: base + Self.messageStart, count: min(count, Self.messageByteCountMax)),
        as: UTF8.self)
    }
    nonmutating set {
      let text = Array(newValue.utf8.prefix(Self.messageByteCountMax))
      unsafe (base + Self.messageStart).copyMemory(from: text, byteCount: text.count)
      unsafe base.storeBytes(of: UInt64(text.count), toByteOffset: 24, as: UInt64.self)
    }
  }
}

/// A count of the worker's turns: an agent that sees it stand still knows a stopped worker.
@safe package struct Pulse {
  private let word: UnsafeMutablePointer<UInt64>

  init(at base: UnsafeMutableRawPointer) {
    unsafe word = base.assumingMemoryBound(to: UInt64.self)
  }

  package var count: UInt64 { unsafe squall_load_acquire(word) }

  @inline(__always)
  package func beat() { unsafe word.pointee &+= 1 }
}
