internal import SquallLoad

/// What came back, and how connections ended: why requests are not ok, beyond their cause.
extension RunResult.Verdict {
  /// Reasons that are told in full; the file has all.
  private static let reasonCountMax = 3

  mutating func judgeAnswers(_ result: RunResult) {
    for malformed in (result.causes?.malformed ?? []).prefix(Self.reasonCountMax) {
      let count = Figures.count(malformed.count, "answer")
      cautions.append(
        malformed.isOurLimit
          ? "\(count) not read, by a limit of squall's own: \(malformed.explanation)"
          : "\(count) malformed: \(malformed.explanation); --debug shows one")
    }
    judgeEnds(result)
    judgeStrayBytes(result)
  }

  private mutating func judgeEnds(_ result: RunResult) {
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
    let closed = result.found(.reuseClosed)
    guard closed > 0 else { return }
    let count = Double(closed)
    let mean = Double(result.found(.answersBeforeClose)) / count
    let variance = Double(result.found(.answersBeforeCloseSquared)) / count - mean * mean
    let met = "\(Figures.count(closed, "request")) met a connection that the target had just closed"
    let deviation = max(0, variance).squareRoot()
    if deviation < 0.05 * mean && (closed > 1 || mean > 1) {
      let limit = Figures.grouped(UInt64(mean.rounded()))
      cautions.append(
        "\(met), after \(limit) \(limit == "1" ? "answer" : "answers"): a keep-alive limit that it does "
          + "not announce; --requests-per-connection \(limit) avoids it")
    } else {
      cautions.append(
        "\(met) without a word, after \(Figures.significant(mean)) answers on average: it ends "
          + "connections by a time of its own, or was restarted")
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
