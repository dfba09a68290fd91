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

  private let memory: SharedMemory
  package let endpointCount: Int
  private let setupByteCount: Int

  /// New memory holding `setup`.
  package init(setup: [UInt8], endpointCount: Int) throws(SystemError) {
    memory = try SharedMemory(
      "squall-worker",
      byteCount: Self.pagesStart(setupByteCount: setup.count)
        + Self.pageCount * PageLayout.pageByteCount(endpointCount: endpointCount))
    self.endpointCount = endpointCount
    setupByteCount = setup.count
    unsafe base.storeBytes(of: Self.magic, toByteOffset: 0, as: UInt64.self)
    unsafe base.storeBytes(of: UInt64(setup.count), toByteOffset: 8, as: UInt64.self)
    unsafe base.storeBytes(of: UInt64(endpointCount), toByteOffset: 16, as: UInt64.self)
    unsafe (base + Self.headerByteCount).copyMemory(from: setup, byteCount: setup.count)
  }

  /// Memory made in another process.
  package init(descriptor: Int32) throws(SystemError) {
    memory = try SharedMemory(inherited: descriptor, magic: Self.magic)
    setupByteCount = unsafe Int(memory.base.load(fromByteOffset: 8, as: UInt64.self))
    endpointCount = unsafe Int(memory.base.load(fromByteOffset: 16, as: UInt64.self))
  }

  private var base: UnsafeMutableRawPointer { unsafe memory.base }

  /// What a worker inherits; closed with the region.
  package var descriptor: Int32 { memory.descriptor }

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

  package var count: UInt64 { unsafe SharedWord(at: word).value }

  @inline(__always)
  package func beat() { unsafe word.pointee &+= 1 }
}
