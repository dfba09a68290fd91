internal import SquallHTTP

/// What one request asks of the target.
///
///     /…?size=N&status=N&chunked=1&close=1&delay=T&stall=T&every=N
///     /fault/KIND?…    the same answer, spoilt
///     /count?reset=1   what was counted
///
/// A size is in bytes, or with `k` or `m` in KiB or MiB, and at most 1 GiB. A value that cannot be
/// read is answered with 400 and a sentence; an unknown name is ignored.
struct TargetRequest: BitwiseCopyable {
  /// How an answer is spoilt, by the path below `/fault/`.
  enum Fault: UInt8 {
    case none
    /// RST instead of an answer.
    case reset
    /// FIN instead of an answer.
    case close
    /// Half of the answer's bytes, then FIN.
    case half
    /// Bytes that are no HTTP; the connection stays open.
    case garbage
    /// No answer; the connection stays open.
    case hang
    /// One byte each millisecond.
    case drip
    /// The answer twice.
    case extra
    /// The answer before the request: when its body begins to come, or with `Expect: 100-continue`
    /// instead of the interim response. The body is read all the same.
    case early
  }

  static let delayNsMax: UInt64 = 3_600_000_000_000

  private(set) var answer: TargetAnswer
  private(set) var fault = Fault.none
  private(set) var isCount = false
  private(set) var resetsCounts = false
  /// The client will send no more on its connection (RFC 9112 section 9.6).
  private(set) var isLast = false
  /// Its path's row in the page of counts.
  private(set) var path: UInt16 = 0
  private(set) var stallEvery: UInt64 = 0
  private(set) var stallNs: UInt64 = 0
  /// Nil when the request does not say.
  private(set) var delayNs: UInt64?

  var isTimed: Bool { delayNs != nil || stallNs > 0 }

  /// One that another has read and answered, counted in the row `path`.
  init(path: UInt16, closes: Bool) {
    answer = TargetAnswer(traits: closes ? .closes : [])
    isLast = closes
    self.path = path
  }

  /// `parser` has read the whole head; `isComplete` when it has read the body too.
  init(
    _ parser: RequestParser, isComplete: Bool, target: RequestTarget, paths: inout TargetPathIndex
  ) {
    var traits: TargetAnswer.Traits = parser.method == .head ? .headOnly : []
    // Before the end of a request nobody knows whether its connection goes on.
    if isComplete { traits.insert(parser.keepAlive ? [] : .closes) }
    if isComplete, parser.isHTTP10, parser.keepAlive { traits.insert(.keepsAlive) }
    // HTTP/1.0 knows no chunks.
    if target.flag("chunked"), !parser.isHTTP10 { traits.insert(.chunked) }
    self.init(traits, target: target, paths: &paths)
    isLast = isComplete && !parser.keepAlive
  }

  /// A request on a stream, which says nothing of its connection.
  init(isHead: Bool, target: RequestTarget, paths: inout TargetPathIndex) {
    var traits: TargetAnswer.Traits = isHead ? .headOnly : []
    if target.flag("chunked") { traits.insert(.chunked) }
    self.init(traits, target: target, paths: &paths)
  }

  private init(
    _ given: TargetAnswer.Traits, target: RequestTarget, paths: inout TargetPathIndex
  ) {
    var traits = given
    if target.flag("close") { traits = traits.subtracting(.keepsAlive).union(.closes) }
    if target.hasPath("/count") {
      answer = TargetAnswer(traits: traits)
      isCount = true
      resetsCounts = target.flag("reset")
      return
    }
    path = unsafe paths.row(of: target.path)
    do throws(RequestTarget.Fault) {
      answer = try Self.answer(target, traits)
      try readDelays(target)
    } catch {
      answer = TargetAnswer(status: 400, note: .badQuery(error), traits: traits)
    }
    readFault(target)
  }

  private static func answer(
    _ target: RequestTarget, _ traits: TargetAnswer.Traits
  ) throws(RequestTarget.Fault) -> TargetAnswer {
    let status = try target.integer("status") ?? 200
    guard TargetAnswer.statuses.contains(status) else {
      return TargetAnswer(status: 400, note: .statusOutOfRange, traits: traits)
    }
    let size = try target.byteCount("size") ?? 13
    guard size <= TargetAnswer.bodyByteCountMax else {
      return TargetAnswer(status: 400, note: .sizeTooLarge, traits: traits)
    }
    return TargetAnswer(status: UInt16(status), bodyByteCount: UInt32(size), traits: traits)
  }

  private mutating func readDelays(_ target: RequestTarget) throws(RequestTarget.Fault) {
    delayNs = try target.durationNs("delay")
    stallNs = try target.durationNs("stall") ?? 0
    stallEvery = try target.integer("every") ?? 1
    if stallEvery == 0 { refuse(.everyIsZero) }
    if max(delayNs ?? 0, stallNs) > Self.delayNsMax { refuse(.delayTooLong) }
  }

  private mutating func refuse(_ note: TargetNote, status: UInt16 = 400) {
    answer = TargetAnswer(status: status, note: note, traits: answer.traits)
    delayNs = nil
    stallNs = 0
  }

  private mutating func readFault(_ target: RequestTarget) {
    let folder: StaticString = "/fault/"
    guard
      unsafe target.path.starts(
        with: UnsafeRawBufferPointer(
          start: folder.utf8Start, count: folder.utf8CodeUnitCount))
    else { return }
    let faults: [(StaticString, Fault)] = [
      ("/fault/reset", .reset), ("/fault/close", .close), ("/fault/half", .half),
      ("/fault/garbage", .garbage), ("/fault/hang", .hang), ("/fault/drip", .drip),
      ("/fault/extra", .extra), ("/fault/early", .early),
    ]
    guard let known = faults.first(where: { target.hasPath($0.0) }) else {
      return refuse(.noSuchFault, status: 404)
    }
    fault = known.1
  }
}
