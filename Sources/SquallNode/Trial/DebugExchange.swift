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
        ? try exchangeH2(plan, &stream) : try exchange(endpoint, &stream)
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
    _ plan: Plan, _ stream: inout TargetStream
  ) throws(TargetStream.Failure) -> Answer {
    let scheme = plan.origin.tls == nil ? "http" : "https"
    guard
      let template = H2RequestTemplate(rendered: plan.content.endpoints[0].request, scheme: scheme)
    else { preconditionFailure("a plan with a request that HTTP/2 cannot carry") }
    let requests = H2Requests([template])
    var connection = H2Connection(streamCountMax: 1)
    var reader = ResponseHeadReader()
    var shown: [UInt8] = []
    try stream.send(
      written(by: &connection, room: 16_384 + requests[0].headByteCountMax) {
        connection, output in
        _ = connection.open(
          requests[0], tag: 0, showsBody: true, keepsFields: true, into: &output)
      })
    while true {
      let chunk = try stream.receive()
      guard !chunk.isEmpty else {
        return Answer(
          bytes: shown, verdict: "the target closed the connection before the answer's end",
          isOk: false)
      }
      var answer: Answer?
      unsafe chunk.withUnsafeBytes { bytes in
        var rest = unsafe bytes
        reading: while true {
          let event = connection.next(&rest, reader: &reader)
          switch event {
          case .needsMore: break reading
          case .head(_, let status):
            shown += Array("HTTP/2 \(status)\n".utf8)
            for index in 0..<reader.fieldCount {
              shown += reader.name(index) + Array(": ".utf8) + reader.value(index)
              shown.append(UInt8(ascii: "\n"))
            }
            shown.append(UInt8(ascii: "\n"))
          case .body(_, let piece): unsafe shown += Array(piece)
          case .ended(_, let status, let bodyByteCount):
            answer = Answer(
              bytes: shown, verdict: "status \(status), \(bodyByteCount) body bytes",
              isOk: Counters.accepts(status))
          case .reset(_, let code):
            answer = Answer(
              bytes: shown, verdict: "the target reset the stream: \(code)", isOk: false)
          case .unprocessed:
            answer = Answer(
              bytes: shown, verdict: "the target goes away and did not look at the request",
              isOk: false)
          case .violation(let violation, _):
            answer = Answer(
              bytes: shown, verdict: "malformed: \(violation.explanation)", isOk: false)
          case .settings, .goAway: continue
          }
          if answer != nil { break reading }
        }
      }
      if let answer { return answer }
      if connection.hasOutput {
        try stream.send(written(by: &connection, room: 65_536) { _, _ in })
      }
    }
  }

  /// What a connection has to send, behind what `body` makes it say.
  private static func written(
    by connection: inout H2Connection, room: Int,
    _ body: (inout H2Connection, inout OutgoingBytes) -> Void
  ) -> [UInt8] {
    unsafe [UInt8](unsafeUninitializedCapacity: room) { buffer, count in
      var output = OutgoingBytes(UnsafeMutableRawBufferPointer(buffer))
      body(&connection, &output)
      connection.write(into: &output)
      count = output.byteCount
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
