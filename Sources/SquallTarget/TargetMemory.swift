internal import Glibc
internal import SquallEngine
internal import SquallTLS

/// The memory that the processes of a target share: what they are to do, and what they count.
///
///     magic, …, options… │ certificate, key, keys of tickets │ page 0 │ page 1 │ …
///     page: counters │ paths │ arrivals…
///
/// Each page is written by its process alone, except for the baselines, which whoever resets the
/// counts writes: what is reported is counter − baseline, so no process ever clears a number that
/// another one is adding to.
@safe final class TargetMemory {
  private static let magic: UInt64 = 0x3130_5447_5451_5153  // "SQTGT01"
  private static let headerByteCount = 4_096

  private enum Word: Int {
    case magic, processCount, firstRequestNs
    case chainByteCount, keyByteCount
    case optionCount, options
  }

  private let memory: SharedMemory
  let options: TargetOptions
  /// Under which all processes seal the tickets they give; none without a certificate.
  let ticketKeys: [UInt8]
  private let pagesStart: Int

  static func create(_ options: TargetOptions) throws(SystemError) -> TargetMemory {
    let words = options.words
    let certificate = options.certificate
    var options = TargetOptions(words: words)
    options.certificate = certificate
    var random = SystemRandomNumberGenerator()
    let ticketKeys = (0..<(certificate == nil ? 0 : TLSContext.ticketKeysByteCount)).map { _ in
      UInt8.random(in: .min ... .max, using: &random)
    }
    let secrets = (certificate.map { $0.chain + $0.key } ?? []) + ticketKeys
    let pagesStart = headerByteCount + pages(for: secrets.count)
    let byteCount = pagesStart + options.cpus.count * pageByteCount(options)
    let memory = TargetMemory(
      memory: try SharedMemory("squall-target", byteCount: byteCount), options: options,
      ticketKeys: ticketKeys, pagesStart: pagesStart)
    unsafe (memory.base + headerByteCount).copyMemory(from: secrets, byteCount: secrets.count)
    unsafe memory.word(.chainByteCount).pointee = UInt64(certificate?.chain.count ?? 0)
    unsafe memory.word(.keyByteCount).pointee = UInt64(certificate?.key.count ?? 0)
    unsafe memory.word(.magic).pointee = magic
    unsafe memory.word(.processCount).pointee = UInt64(options.cpus.count)
    unsafe memory.word(.optionCount).pointee = UInt64(words.count)
    for (index, word) in words.enumerated() {
      unsafe (memory.word(.options) + index).pointee = word
    }
    return memory
  }

  /// Memory that `create` made, here or in another process. Takes the descriptor over.
  convenience init(descriptor: Int32) throws(SystemError) {
    let memory = try SharedMemory(inherited: descriptor, magic: Self.magic)
    let words = unsafe memory.base.assumingMemoryBound(to: UInt64.self)
    let optionCount = unsafe min(
      Int(words[Word.optionCount.rawValue]), TargetOptions.wordCountMax)
    var options = TargetOptions(
      words: (0..<optionCount).map { unsafe words[Word.options.rawValue + $0] })
    let chainByteCount = unsafe Int(words[Word.chainByteCount.rawValue])
    let keyByteCount = unsafe Int(words[Word.keyByteCount.rawValue])
    var ticketKeys: [UInt8] = []
    if chainByteCount > 0 {
      let keysStart = chainByteCount + keyByteCount
      let secrets = unsafe Array(
        UnsafeRawBufferPointer(
          start: memory.base + Self.headerByteCount,
          count: keysStart + TLSContext.ticketKeysByteCount))
      options.certificate = Certificate(
        chain: Array(secrets[..<chainByteCount]), key: Array(secrets[chainByteCount..<keysStart]))
      ticketKeys = Array(secrets[keysStart...])
    }
    self.init(
      memory: memory, options: options, ticketKeys: ticketKeys,
      pagesStart: Self.headerByteCount
        + Self.pages(for: chainByteCount + keyByteCount + ticketKeys.count))
  }

  private init(
    memory: consuming SharedMemory, options: TargetOptions, ticketKeys: [UInt8], pagesStart: Int
  ) {
    self.memory = memory
    self.options = options
    self.ticketKeys = ticketKeys
    self.pagesStart = pagesStart
  }

  private var base: UnsafeMutableRawPointer { unsafe memory.base }

  /// What a process inherits; closed with the memory.
  var descriptor: Int32 { memory.descriptor }

  private func word(_ word: Word) -> UnsafeMutablePointer<UInt64> {
    unsafe base.assumingMemoryBound(to: UInt64.self) + word.rawValue
  }

  private static func pageByteCount(_ options: TargetOptions) -> Int {
    pages(for: TargetPage.byteCount(arrivalCountMax: options.arrivalCountMax))
  }

  private static func pages(for byteCount: Int) -> Int { (byteCount + 4_095) & ~4_095 }

  func page(_ index: Int) -> TargetPage {
    precondition(index >= 0 && index < options.cpus.count, "no such process: \(index)")
    return unsafe TargetPage(
      at: base + pagesStart + index * Self.pageByteCount(options),
      arrivalCountMax: Int(options.arrivalCountMax))
  }

  /// When the first request arrived at any process; nil before.
  var firstRequestNs: UInt64? {
    let ns = unsafe SharedWord(at: word(.firstRequestNs)).value
    return ns == 0 ? nil : ns
  }

  /// Two processes may both be first within microseconds; then either instant is as good.
  func noteFirstRequest(ns: UInt64) { unsafe SharedWord(at: word(.firstRequestNs)).value = ns }
}

extension TargetMemory {
  /// The sum over all processes, each number since the last reset.
  var counts: TargetCounts {
    var counts = TargetCounts()
    var paths: [String: UInt64] = [:]
    for index in 0..<options.cpus.count {
      let page = page(index)
      counts.requestCount += page.sinceReset(.requests)
      counts.acceptedCount += page.sinceReset(.accepted)
      counts.refusedCount += page.sinceReset(.refused)
      counts.malformedCount += page.sinceReset(.malformed)
      counts.overrunCount += page.sinceReset(.overruns)
      counts.fullHandshakeCount += page.sinceReset(.fullHandshakes)
      counts.resumedHandshakeCount += page.sinceReset(.resumedHandshakes)
      counts.tlsFailureCount += page.sinceReset(.tlsFailures)
      counts.receivedByteCount += page.sinceReset(.bytesReceived)
      counts.sentByteCount += page.sinceReset(.bytesSent)
      counts.openCount += page[.accepted] &- page[.closed]
      for path in 0..<page.pathCount where page.path(path).sinceReset > 0 {
        paths[page.path(path).name, default: 0] += page.path(path).sinceReset
      }
      counts.otherCount += page.path(TargetPage.otherPath).sinceReset
    }
    counts.paths = paths
    return counts
  }

  /// Lets every number but `openCount` count from zero again.
  func reset() {
    for index in 0..<options.cpus.count { page(index).setBaselines() }
  }

  /// Every noted arrival, ascending.
  var arrivals: [UInt64] {
    var arrivals: [UInt64] = []
    for index in 0..<options.cpus.count { arrivals += page(index).arrivals }
    return arrivals.sorted()
  }
}

/// What a target counted: `GET /count`.
package struct TargetCounts: Equatable, Sendable {
  /// Requests received to their last byte, `/count` apart: the sum of `paths` and `otherCount`.
  package var requestCount: UInt64 = 0
  /// Of them by path, without the query.
  package var paths: [String: UInt64] = [:]
  /// Of them with a path beyond the first 1,024 of a process, longer than 111 bytes, or without a
  /// slash in front (`OPTIONS *`).
  package var otherCount: UInt64 = 0
  package var acceptedCount: UInt64 = 0
  package var openCount: UInt64 = 0
  /// Connections closed at once because the table was full.
  package var refusedCount: UInt64 = 0
  /// Connections that got 400 for what no HTTP/1 request is.
  package var malformedCount: UInt64 = 0
  /// Connections closed because too many of their answers were waiting.
  package var overrunCount: UInt64 = 0
  package var fullHandshakeCount: UInt64 = 0
  package var resumedHandshakeCount: UInt64 = 0
  /// Connections that TLS broke, in the handshake or after it.
  package var tlsFailureCount: UInt64 = 0
  /// On all connections, those that asked for `/count` included.
  package var receivedByteCount: UInt64 = 0
  package var sentByteCount: UInt64 = 0

  /// One object; `requests`, `accepted` and `open` as the benchmarks' other targets name them.
  package var json: String {
    var text = "{\"requests\":\(requestCount),\"paths\":{"
    for (path, count) in paths.sorted(by: { $0.key < $1.key }) {
      text += "\(Self.quoted(path)):\(count),"
    }
    text += "\"other\":\(otherCount)},\"accepted\":\(acceptedCount),\"open\":\(openCount)"
    text += ",\"refused\":\(refusedCount),\"malformed\":\(malformedCount)"
    text += ",\"overruns\":\(overrunCount),\"handshakes\":{\"full\":\(fullHandshakeCount)"
    text += ",\"resumed\":\(resumedHandshakeCount)},\"tls_failures\":\(tlsFailureCount)"
    text += ",\"bytes_received\":\(receivedByteCount)"
    return text + ",\"bytes_sent\":\(sentByteCount)}\n"
  }

  /// RFC 8259 section 7. A request target holds no control character, but may hold the rest.
  private static func quoted(_ text: String) -> String {
    var quoted = "\""
    for scalar in text.unicodeScalars {
      if scalar == "\"" || scalar == "\\" { quoted += "\\" }
      quoted.unicodeScalars.append(scalar)
    }
    return quoted + "\""
  }
}

/// One process's part of the memory.
@safe struct TargetPage {
  enum Counter: Int, CaseIterable {
    case requests, accepted, refused, malformed, overruns, bytesReceived, bytesSent
    case fullHandshakes, resumedHandshakes, tlsFailures
    case closed
    // Below here nothing is reset.
    case pathCount, arrivalCount, arrivalsLost, failureErrno
  }

  static let pathCountMax = 1_024
  /// The row of requests whose path has none of its own.
  static let otherPath = pathCountMax
  static let pathByteCountMax = 111

  private static let resetCount = Counter.closed.rawValue
  private static let baselinesStart = 32
  private static let failureStart = 512
  private static let failureByteCountMax = 63
  private static let pathsStart = 4_096
  private static let pathByteCount = 128
  private static let arrivalsStart = pathsStart + (pathCountMax + 1) * pathByteCount

  static func byteCount(arrivalCountMax: UInt64) -> Int { arrivalsStart + Int(arrivalCountMax) * 8 }

  private let base: UnsafeMutableRawPointer
  private let arrivalCountMax: Int

  init(at base: UnsafeMutableRawPointer, arrivalCountMax: Int) {
    unsafe self.base = base
    self.arrivalCountMax = arrivalCountMax
  }

  @inline(__always)
  private func word(_ index: Int) -> UnsafeMutablePointer<UInt64> {
    unsafe base.assumingMemoryBound(to: UInt64.self) + index
  }

  subscript(counter: Counter) -> UInt64 {
    @inline(__always) get { unsafe word(counter.rawValue).pointee }
    @inline(__always) nonmutating set { unsafe word(counter.rawValue).pointee = newValue }
  }

  @inline(__always)
  func add(_ counter: Counter, _ count: Int = 1) {
    unsafe word(counter.rawValue).pointee &+= UInt64(truncatingIfNeeded: count)
  }

  func sinceReset(_ counter: Counter) -> UInt64 {
    precondition(counter.rawValue < Self.resetCount, "\(counter) has no baseline")
    return unsafe self[counter] &- word(Self.baselinesStart + counter.rawValue).pointee
  }

  func setBaselines() {
    for counter in 0..<Self.resetCount {
      unsafe word(Self.baselinesStart + counter).pointee = word(counter).pointee
    }
    for index in 0..<pathCount { path(index).setBaseline() }
    path(Self.otherPath).setBaseline()
  }

  var pathCount: Int { unsafe Int(SharedWord(at: word(Counter.pathCount.rawValue)).value) }

  @inline(__always)
  func path(_ index: Int) -> TargetPath {
    precondition(index >= 0 && index <= Self.otherPath, "no such path: \(index)")
    return unsafe TargetPath(at: base + Self.pathsStart + index * Self.pathByteCount)
  }

  /// Gives a path the next row. There must be one, and the name must fit.
  func addPath(_ name: UnsafeRawBufferPointer) -> Int {
    let index = pathCount
    precondition(index < Self.pathCountMax, "more paths than rows for them")
    unsafe path(index).set(name: name)
    // Others look at a row once they see the number that includes it.
    unsafe SharedWord(at: word(Counter.pathCount.rawValue)).value = UInt64(index + 1)
    return index
  }

  // MARK: Arrivals

  private var instants: UnsafeMutablePointer<UInt64> {
    unsafe (base + Self.arrivalsStart).assumingMemoryBound(to: UInt64.self)
  }

  /// Touches the memory, so that noting an arrival never waits for the kernel to find a page.
  func prepareArrivals() { unsafe instants.update(repeating: 0, count: arrivalCountMax) }

  @inline(__always)
  func noteArrival(ns: UInt64) {
    let count = Int(self[.arrivalCount])
    guard count < arrivalCountMax else { return add(.arrivalsLost) }
    unsafe instants[count] = ns
    unsafe SharedWord(at: word(Counter.arrivalCount.rawValue)).value = UInt64(count + 1)
  }

  var arrivals: [UInt64] {
    let count = unsafe Int(SharedWord(at: word(Counter.arrivalCount.rawValue)).value)
    return unsafe Array(UnsafeBufferPointer(start: instants, count: count))
  }

  // MARK: Failure

  /// Why the process gave up.
  var failure: SystemError? {
    get {
      guard self[.failureErrno] != 0 else { return nil }
      let call = unsafe String(
        cString: (base + Self.failureStart).assumingMemoryBound(to: CChar.self))
      return SystemError(call: call, errno: Int32(self[.failureErrno]))
    }
    nonmutating set {
      guard let newValue else {
        self[.failureErrno] = 0
        return
      }
      let call = Array(newValue.call.utf8.prefix(Self.failureByteCountMax))
      unsafe (base + Self.failureStart).copyMemory(from: call, byteCount: call.count)
      self[.failureErrno] = UInt64(newValue.errno)
    }
  }
}

/// A path and how often it was asked for: count u64, baseline u64, name's byte count u8, name.
@safe struct TargetPath {
  private let base: UnsafeMutableRawPointer
  private static let nameStart = 17

  init(at base: UnsafeMutableRawPointer) { unsafe self.base = base }

  private var words: UnsafeMutablePointer<UInt64> {
    @inline(__always) get { unsafe base.assumingMemoryBound(to: UInt64.self) }
  }

  var count: UInt64 { unsafe words[0] }
  var sinceReset: UInt64 { unsafe words[0] &- words[1] }

  @inline(__always)
  func add() { unsafe words[0] &+= 1 }

  func setBaseline() { unsafe words[1] = words[0] }

  var nameBytes: UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(
      start: base + Self.nameStart,
      count: Int(base.load(fromByteOffset: 16, as: UInt8.self)))
  }

  var name: String { unsafe String(decoding: nameBytes, as: UTF8.self) }

  func set(name: UnsafeRawBufferPointer) {
    precondition(
      name.count <= TargetPage.pathByteCountMax, "a path too long for its row: \(name.count) bytes")
    if let start = name.baseAddress {
      unsafe (base + Self.nameStart).copyMemory(from: start, byteCount: name.count)
    }
    unsafe base.storeBytes(of: UInt8(name.count), toByteOffset: 16, as: UInt8.self)
  }
}

/// Finds a path's row in the page of this process.
@safe struct TargetPathIndex: ~Copyable {
  private static let bucketCount = 4_096
  private static let none: UInt16 = .max

  private let page: TargetPage
  /// Open addressing over the rows, at most a quarter full.
  private let buckets: UnsafeMutablePointer<UInt16>

  init(page: TargetPage) {
    self.page = page
    unsafe buckets = .allocate(capacity: Self.bucketCount)
    unsafe buckets.initialize(repeating: Self.none, count: Self.bucketCount)
  }

  deinit { unsafe buckets.deallocate() }

  /// The row that counts requests for `path`.
  mutating func row(of path: UnsafeRawBufferPointer) -> UInt16 {
    guard unsafe path.first == UInt8(ascii: "/"), path.count <= TargetPage.pathByteCountMax else {
      return UInt16(TargetPage.otherPath)
    }
    return unsafe row(named: path)
  }

  /// The row of a name that fits into one.
  mutating func row(named path: UnsafeRawBufferPointer) -> UInt16 {
    var bucket = unsafe Self.bucket(path)
    while case let row = unsafe buckets[bucket], row != Self.none {
      if unsafe Self.isEqual(page.path(Int(row)).nameBytes, path) { return row }
      bucket = (bucket + 1) % Self.bucketCount
    }
    guard page.pathCount < TargetPage.pathCountMax else { return UInt16(TargetPage.otherPath) }
    let row = unsafe UInt16(page.addPath(path))
    unsafe buckets[bucket] = row
    return row
  }

  /// FNV-1a.
  private static func bucket(_ bytes: UnsafeRawBufferPointer) -> Int {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for index in bytes.indices {
      hash = unsafe (hash ^ UInt64(bytes[index])) &* 0x100_0000_01b3
    }
    return Int(hash >> 40) % bucketCount
  }

  private static func isEqual(_ one: UnsafeRawBufferPointer, _ two: UnsafeRawBufferPointer) -> Bool
  {
    guard one.count == two.count, let here = one.baseAddress, let there = two.baseAddress else {
      return one.count == two.count
    }
    return unsafe memcmp(here, there, one.count) == 0
  }
}
