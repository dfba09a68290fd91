internal import SquallEngine
internal import SquallHTTP
package import SquallLoad

/// One request and its response, told byte for byte: what `--debug` prints.
package enum DebugExchange {
  /// Who is told.
  package typealias Telling = (String) throws(Complaint) -> Void

  static let shownByteCountMax = 64 << 10

  /// Fails where a run would count an error.
  package static func run(
    _ plan: Plan, at found: [TargetAddresses],
    tell: Telling = { text throws(Complaint) in try Console.print(text) }
  ) throws(Complaint) {
    let endpoint = plan.content.endpoints[0]
    let destination = plan.origin.destinations[0]
    let answer: Answer
    do {
      let address = found[0].used[0]
      try tell("* to \(address)\n")
      var stream =
        try found[0].takeFirst().map(TargetStream.init(over:)) ?? TargetStream(to: address, plan)
      if let facts = stream.facts { try tell("* \(facts.sentence)\n") }
      try tell("\n")
      try show(endpoint.request, tell)
      answer =
        plan.connections.streams > 0
        ? try exchangeH2(endpoint, &stream) : try exchange(endpoint, &stream)
      try show(answer.bytes, tell)
      try tell("* \(answer.verdict)\n")
    } catch let error as Complaint {
      throw error
    } catch let error as TargetStream.Failure {
      throw .world("\(destination) \(error.sentence).")
    } catch let error as SystemError {
      throw .world("\(destination): \(error).")
    } catch {
      throw .world("\(error)")
    }
    guard answer.isOk else {
      throw .world("a run would count this as an error: \(answer.verdict).")
    }
  }

  private static func show(_ bytes: [UInt8], _ tell: Telling) throws(Complaint) {
    try tell(String(decoding: bytes.prefix(shownByteCountMax), as: UTF8.self) + "\n\n")
  }

  private struct Answer {
    var bytes: [UInt8]
    var verdict: String
    var isOk: Bool
  }

  private static func exchange(
    _ endpoint: Plan.Endpoint, _ stream: inout TargetStream
  ) throws(TargetStream.Failure) -> Answer {
    try stream.send(endpoint.request)
    var parser = ResponseParser()
    parser.reset(expectsNoBody: endpoint.expectsNoBody)
    var bytes: [UInt8] = []
    while true {
      let chunk = try stream.receive()
      let step =
        chunk.isEmpty ? parser.finish() : unsafe chunk.withUnsafeBytes { parser.consume($0) }
      bytes += chunk
      switch step {
      case .needsMore: continue
      case .complete(let consumedByteCount):
        let strayByteCount = chunk.count - consumedByteCount
        let end =
          strayByteCount > 0
          ? "\(strayByteCount) bytes behind it that nobody asked for: a run opens a new connection"
          : parser.keepAlive ? "connection stays open" : "connection closes"
        return Answer(
          bytes: bytes,
          verdict: "status \(parser.status), \(parser.bodyByteCount) body bytes, \(end)",
          isOk: Counters.accepts(parser.status))
      case .malformed(let cause):
        return Answer(bytes: bytes, verdict: "malformed: \(cause.explanation)", isOk: false)
      }
    }
  }

  /// The same over HTTP/2; the fields of the answer are shown as lines.
  private static func exchangeH2(
    _ endpoint: Plan.Endpoint, _ stream: inout TargetStream
  ) throws(TargetStream.Failure) -> Answer {
    var trial = H2Trial()
    var shown: [UInt8] = []
    let end = try trial.exchange(
      endpoint.request, expectsNoBody: endpoint.expectsNoBody, over: &stream
    ) { piece in shown += piece.shown }
    return switch end {
    case .answered(let status, let bodyByteCount):
      Answer(
        bytes: shown, verdict: "status \(status), \(bodyByteCount) body bytes",
        isOk: Counters.accepts(status))
    case .failed(let cause): Answer(bytes: shown, verdict: cause, isOk: false)
    }
  }
}

extension H2Trial.Piece {
  /// As a person reads it.
  var shown: [UInt8] {
    switch self {
    case .head(let status, let lines):
      Array("HTTP/2 \(status)\n".utf8) + lines.filter { $0 != UInt8(ascii: "\r") }
    case .body(let bytes): bytes
    }
  }
}

extension TLSFacts {
  /// What was agreed on, for a person.
  var sentence: String {
    let group = groupName.isEmpty ? "" : ", \(groupName)"
    let spoken = applicationProtocol.isEmpty ? "no ALPN" : "ALPN \(applicationProtocol)"
    return "TLS \(versionName), \(cipherName)\(group), \(spoken), "
      + "\(chainByteCount) bytes of certificates"
  }
}
