internal import CSquall
internal import Glibc
internal import SquallEngine
internal import SquallHTTP
package import SquallLoad

/// One request and its response, printed byte for byte: what `--debug` does.
package enum DebugExchange {
  static let shownByteCountMax = 64 << 10

  /// Fails where a run would count an error.
  package static func run(_ plan: Plan) throws(Complaint) {
    let endpoint = plan.endpoints[0]
    let destination = plan.destinations[0]
    let answer: Answer
    do {
      let address = try Address.resolve(destination.host, port: destination.port)[0]
      try Console.print("* to \(address)\n\n")
      try Console.print(String(decoding: endpoint.request.prefix(shownByteCountMax), as: UTF8.self))
      try Console.print("\n\n")
      answer = try exchange(endpoint, with: address, timeoutNs: plan.timeoutNs)
      try Console.print(String(decoding: answer.bytes.prefix(shownByteCountMax), as: UTF8.self))
      try Console.print("\n\n* \(answer.verdict)\n")
    } catch let error as Complaint {
      throw error
    } catch let error as SystemError {
      throw .world("\(destination.host):\(destination.port): \(error).")
    } catch {
      throw .world("\(error)")
    }
    guard answer.isOk else {
      throw .world("a run would count this as an error: \(answer.verdict).")
    }
  }

  private struct Answer {
    var bytes: [UInt8]
    var verdict: String
    var isOk: Bool
  }

  private static func exchange(
    _ endpoint: Plan.Endpoint, with address: Address, timeoutNs: UInt64
  ) throws(SystemError) -> Answer {
    let socket = try Socket(to: address, timeoutNs: timeoutNs)
    try socket.send(endpoint.request)
    var parser = ResponseParser()
    parser.reset(expectsNoBody: endpoint.expectsNoBody)
    var bytes: [UInt8] = []
    while true {
      let chunk = try socket.receive()
      let step =
        chunk.isEmpty ? parser.finish() : unsafe chunk.withUnsafeBytes { parser.consume($0) }
      bytes += chunk
      switch step {
      case .needsMore: continue
      case .complete:
        return Answer(
          bytes: bytes,
          verdict: "status \(parser.status), \(parser.bodyByteCount) body bytes, connection "
            + (parser.keepAlive ? "stays open" : "closes"),
          isOk: Counters.accepts(parser.status))
      case .malformed(let cause):
        return Answer(bytes: bytes, verdict: "malformed: \(cause.explanation)", isOk: false)
      }
    }
  }
}

/// A plain blocking socket.
struct Socket: ~Copyable {
  private let descriptor: Int32

  init(to address: Address, timeoutNs: UInt64) throws(SystemError) {
    var raw = address.raw
    descriptor = try SystemError.check(
      "connect", unsafe squall_socket_open(&raw, Int32(clamping: timeoutNs / 1_000_000)))
  }

  deinit { close(descriptor) }

  func send(_ request: [UInt8]) throws(SystemError) {
    var rest = request[...]
    while !rest.isEmpty {
      let count = unsafe rest.withUnsafeBytes {
        unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      // The response may say why it wants no more of the body.
      guard count > 0 else { return }
      rest = rest.dropFirst(count)
    }
  }

  /// Empty at the end of the stream.
  func receive() throws(SystemError) -> [UInt8] {
    var chunk = [UInt8](repeating: 0, count: 65_536)
    let count = unsafe recv(descriptor, &chunk, chunk.count, 0)
    guard count >= 0 else { throw .last("recv") }
    return Array(chunk.prefix(count))
  }
}
