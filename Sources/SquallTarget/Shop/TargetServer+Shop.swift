internal import SquallEngine
internal import SquallHTTP

/// The shop's part in the server.
extension TargetServer {
  /// What stays the target's own.
  @inline(__always)
  private static func isOwn(_ target: RequestTarget) -> Bool {
    unsafe target.hasPath("/count") || Excerpt(target.path).hasPrefix("/fault/")
  }

  /// Lets the shop answer a complete request. False when the request is not for the shop.
  mutating func shopAnswered(
    _ row: Int, _ bytes: UnsafeRawBufferPointer, target: RequestTarget, nowNs: UInt64
  ) -> Bool {
    guard shop != nil else { return false }
    if Self.isOwn(target) {
      shop?.forget(row: row)
      return false
    }
    let closes = unsafe !connections[row].parser.keepAlive
    guard
      let answer = unsafe shop?.answer(bytes, row: row, closes: closes, nowNs: monotonicNs())
    else { return false }
    let request = unsafe TargetRequest(path: paths.row(named: answer.name), closes: closes)
    guard let page = unsafe pages.insert(answer.bytes) else {
      self.page.add(.overruns)
      close(row)
      return true
    }
    var reply = unsafe TargetReply(
      answer: TargetAnswer(pageByteCount: answer.bytes.count),
      byteCount: UInt32(answer.bytes.count))
    reply.page = page
    if closes { reply.ending = .finish }
    arrived(row, request, reply, nowNs: nowNs)
    return true
  }
}
