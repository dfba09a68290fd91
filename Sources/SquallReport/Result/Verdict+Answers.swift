internal import SquallLoad

/// What came back, and how connections ended: why requests are not ok, beyond their cause.
extension RunResult.Verdict {
  /// Reasons that are told in full; the file has all.
  private static let reasonCountMax = 3

  mutating func judgeAnswers(_ result: RunResult, plan: Plan) {
    judgeStatus(result)
    for malformed in (result.causes?.malformed ?? []).prefix(Self.reasonCountMax) {
      let count = Figures.count(malformed.count, "answer")
      cautions.append(
        malformed.isOurLimit
          ? "\(count) not read, by a limit of squall's own: \(malformed.explanation)"
          : "\(count) malformed: \(malformed.explanation); --debug shows one")
    }
    judgeEnds(result, plan: plan)
    judgeTLS(result)
    judgeHTTP2(result)
    judgeStrayBytes(result)
  }

  private mutating func judgeEnds(_ result: RunResult, plan: Plan) {
    let cutShort = result.found(.cutShort)
    if cutShort > 0 {
      let mean = result.found(.cutShortByteCount) / cutShort
      cautions.append(
        "\(Figures.count(cutShort, "answer")) cut short: the connection ended in the middle, after "
          + (mean > 0 ? "\(Figures.grouped(mean)) body bytes on average" : "no byte of the body"))
    }
    let late = result.found(.lateInAnswer)
    if late > 0 {
      cautions.append(
        "\(Figures.count(late, "request")) ran out of time in the middle of an answer: the target had "
          + "begun it and did not finish")
    }
    judgeReuse(result, plan: plan)
  }

  /// A target that is gone ended all its connections at once: their answers tell of no limit.
  private mutating func judgeReuse(_ result: RunResult, plan: Plan) {
    let closed = result.found(.reuseClosed)
    guard closed > 0, targetGoneNs == nil else { return }
    let count = Double(closed)
    let mean = Double(result.found(.answersBeforeClose)) / count
    let variance = Double(result.found(.answersBeforeCloseSquared)) / count - mean * mean
    let met = "\(Figures.count(closed, "request")) met a connection that the target had just closed"
    let limit = Figures.grouped(UInt64(mean.rounded()))
    let answers = "\(limit) \(limit == "1" ? "answer" : "answers")"
    // Connections opened anew that end after as many answers again are a limit's doing. One end for
    // each may have come of one event.
    let isEven = max(0, variance).squareRoot() < 0.05 * mean && (closed > 1 || mean > 1)
    if isEven && closed > plan.connections.openCount {
      cautions.append(
        "\(met), after \(answers): a keep-alive limit that it does not announce; "
          + "--requests-per-connection \(limit) avoids it")
    } else if isEven && variance < 0.01 {
      cautions.append(
        "\(met), after \(answers): a keep-alive limit that it does not announce, which "
          + "--requests-per-connection \(limit) avoids, or one restart of it")
    } else {
      cautions.append(
        "\(met) without a word, after \(Figures.significant(mean)) answers on average: it ends "
          + "connections by a time of its own, or was restarted")
    }
  }

  /// Answers that are complete and not what was meant, and a number of requests that was not reached.
  private mutating func judgeStatus(_ result: RunResult) {
    let codes = result.status.keys.compactMap { UInt16($0) }.sorted()
    if !codes.isEmpty, codes.allSatisfy({ [301, 302, 303, 307, 308].contains($0) }) {
      let list = codes.map(String.init).joined(separator: ", ")
      let place = result.causes?.samples[Sample.location.name].map {
        " to \(Columns.elided($0, 60))"
      }
      cautions.append(
        "every answer was a redirect (\(list))\(place ?? ""), which is not followed: give the URL that "
          + "it leads to")
    }
    // Answers without a body may name an encoding too (RFC 9110 section 8.4).
    if result.bytes.body > 0, let encoding = result.causes?.samples[Sample.unaskedEncoding.name] {
      cautions.append(
        "the target encodes its answers (\(encoding)) and was not asked to: bytes of bodies are those of "
          + "the encoded form; see whether -H 'Accept-Encoding: identity' changes it")
    }
    if let asked = result.plan.requests, result.answered < asked, !result.interrupted {
      cautions.append(
        "\(Figures.grouped(result.answered)) of the \(Figures.count(asked, "request")) asked for (-n) "
          + "were answered")
    }
  }

  private mutating func judgeStrayBytes(_ result: RunResult) {
    let stray = result.found(.strayConnections)
    if stray > 0 {
      let mean = Figures.significant(Double(result.found(.strayByteCount)) / Double(stray))
      cautions.append(
        "\(Figures.count(stray, "connection")) opened anew because bytes stood behind a complete answer "
          + "(\(mean) on average): the target's Content-Length is too small, or it sends what nobody "
          + "asked for; the rate is that of new connections")
    }
    let unasked = result.found(.unaskedConnections)
    if unasked > 0 {
      let start = result.causes?.samples[Sample.strangeStart.name] ?? ""
      let kind = RunResult.Causes.protocolName(start).map { "it speaks \($0), not HTTP/1.1" }
      cautions.append(
        "on \(Figures.count(unasked, "connection")) the target spoke first: "
          + (kind ?? "it sent bytes before it was asked, which HTTP/1.1 has not"))
    }
  }
}

extension RunResult {
  /// How often a finding was made, in the time that counts.
  func found(_ finding: Finding) -> UInt64 { causes?.findings[finding.name] ?? 0 }

  /// Complete responses, of whatever status.
  package var answered: UInt64 { status.values.reduce(errors[.check], +) }
}

extension RunResult.Causes {
  /// What is spoken by a peer whose first bytes are these, if they are known.
  static func protocolName(_ start: String) -> String? {
    let names = [
      ("\\x15\\x03", "TLS"), ("\\x16\\x03", "TLS"), ("SSH-", "SSH"), ("HTTP/2", "HTTP/2"),
      ("HTTP/3", "HTTP/3"), ("HTTP/0.9", "HTTP/0.9"), ("RTSP/", "RTSP"), ("ICY ", "Shoutcast"),
      ("220", "SMTP or FTP"), ("+OK", "POP3"), ("* OK", "IMAP"), ("-ERR", "Redis"),
      ("RFB ", "VNC"), ("<", "HTTP/0.9: a page without a head"),
    ]
    if let name = names.first(where: { start.hasPrefix($0.0) })?.1 { return name }
    // A SETTINGS frame begins every HTTP/2 connection (RFC 9113 3.4): length, then type 4.
    return start.hasPrefix("\\x00\\x00\\x") && start.dropFirst(12).hasPrefix("\\x04")
      ? "HTTP/2" : nil
  }
}
