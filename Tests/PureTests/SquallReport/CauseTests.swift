import SquallHTTP
import SquallLoad
import SquallReport
import Testing

/// What a report says of answers that cannot be read and connections that end early.
struct CauseTests {
  /// A run whose answers all failed for `cause`, with what stands behind it.
  private func run(
    _ cause: ErrorCause, isWhole: Bool = true, _ behind: (inout Counters) -> Void
  ) -> RunResult {
    var run = SampleRun()
    run.facts.malformations = Malformation.allCases.map {
      RunFacts.Malformation(
        name: $0.name, explanation: "\($0.explanation)", isOurLimit: $0.isOurLimit)
    }
    if isWhole { run.answerNothingOk() }
    for index in run.batches.indices {
      if isWhole { run.batches[index].endpoints[0].counters.statuses = [:] }
      run.batches[index].endpoints[0].counters.errors[Int(cause.rawValue)] = 100
      run.batches[index].endpoints[0].counters.sent = isWhole ? 100 : 1_100
    }
    behind(&run.batches[0].endpoints[0].counters)
    return run.result()
  }

  private func words(_ result: RunResult) -> String {
    TextReport(result).text.split { $0 == " " || $0 == "\n" }.joined(separator: " ")
  }

  @Test func aMalformedAnswerIsExplainedInEveryFormat() throws {
    let result = run(.parse) {
      $0.malformations = [
        Malformation.invalidFieldName.rawValue: 20, Malformation.missingColon.rawValue: 1,
      ]
    }
    #expect(result.causes?.malformed.map(\.reason) == ["invalid_field_name", "missing_colon"])
    #expect(result.causes?.malformed.map(\.count) == [20, 1])
    let sentence = "a field name holds a byte that no token may hold"
    #expect(
      words(result).contains("NO OK ANSWER no answer of 127.0.0.1:8080 could be read: \(sentence)"))
    #expect(words(result).contains("- 20 answers malformed: \(sentence); --debug shows one"))
    #expect(words(result).contains("- 1 answer malformed: a field line has no colon"))
    #expect(HtmlReport(result, with: .none).text.contains(sentence))
    let text = result.json.indentedText
    #expect(text.contains(sentence))
    #expect(try RunResult(text: Array(text.utf8)) == result)
  }

  @Test func whatAPeerSaysInHTTP2IsToldByCodeInEveryFormat() throws {
    func counted(streams: UInt32, _ findings: [Finding: UInt64]) -> RunResult {
      var run = SampleRun()
      run.plan.connections.streams = streams
      run.batches[0].endpoints[0].counters.findings = findings
      run.batches[3].endpoints[0].counters.findings = findings
      return run.result()
    }
    let result = counted(
      streams: 10,
      [
        HTTP2Code.noError.goAway: 6, HTTP2Code.enhanceYourCalm.goAway: 1,
        HTTP2Code.refusedStream.reset: 20, HTTP2Code.other.reset: 1, .sentAgain: 25,
      ])
    let http = try #require(result.http)
    #expect(http.goaways == 14 && http.resets == 42 && http.sentAgain == 50)
    #expect(http.goAwayCodes == ["NO_ERROR": 12, "ENHANCE_YOUR_CALM": 2])
    #expect(http.resetCodes == ["REFUSED_STREAM": 40, "other": 2])
    #expect(words(result).contains("Gone away 12 NO_ERROR 2 ENHANCE_YOUR_CALM "))
    #expect(words(result).contains("Streams reset 40 REFUSED_STREAM 2 other "))
    #expect(words(result).contains("Sent again 50 requests that the target had not looked at "))
    let calm =
      "2 connections ended by the target with ENHANCE_YOUR_CALM (GOAWAY): it finds the load "
      + "excessive; ask for less with -R, -c or --streams, or lift its limit"
    #expect(words(result).contains("- " + calm))
    #expect(words(result).contains("- 40 requests ended by the target with REFUSED_STREAM"))
    #expect(!result.verdict.cautions.contains { $0.contains("NO_ERROR") })
    #expect(HtmlReport(result, with: .none).text.contains(calm))
    let text = result.json.indentedText
    #expect(try RunResult(text: Array(text.utf8)) == result)

    // A record from before codes were counted has sums only.
    let old = try #require(counted(streams: 1, [.goneAway: 3, .streamsReset: 4]).http)
    #expect(old.goaways == 6 && old.resets == 8)
    #expect(old.goAwayCodes == [:] && old.resetCodes == [:])
    // HTTP/1.1 has no such codes.
    let plain = counted(streams: 0, [:])
    #expect(plain.http?.goAwayCodes == nil && !words(plain).contains("Gone away"))
  }

  /// A run whose target gives nothing in some of its seconds, for a cause.
  private func silent(
    _ seconds: ClosedRange<Int>, _ cause: ErrorCause, isOpen: Bool = false
  ) -> RunResult {
    var run = SampleRun(lagNs: isOpen ? [5_000_000_000] : [], late: isOpen ? 900 : 0)
    if isOpen { run.open(2_000) }
    for index in run.batches.indices where seconds.contains(index % 5) {
      run.batches[index].endpoints[0].counters.statuses = [:]
      run.batches[index].endpoints[0].service = .init()
      run.batches[index].endpoints[0].response = .init()
      run.batches[index].endpoints[0].firstByte = .init()
      run.batches[index].endpoints[0].counters.sent = cause == .connect ? 0 : 100
      run.batches[index].endpoints[0].counters.errors[Int(cause.rawValue)] = 100
      if isOpen { run.batches[index].endpoints[0].counters.dropped = 1_000 }
    }
    return run.result()
  }

  @Test(arguments: [
    (ErrorCause.connect, "no connection could be opened any more"),
    (.timeout, "requests were taken and not answered in time"),
    (.reset, "connections were closed without an answer"),
  ])
  func aTargetThatStopsAnsweringIsTheHeadline(cause: ErrorCause, words: String) throws {
    for isOpen in [false, true] {
      let result = silent(3...4, cause, isOpen: isOpen)
      #expect(result.verdict.targetGoneNs == 3_000_000_000)
      #expect(result.verdict.okPerSBeforeGone == 2_000)
      #expect(!result.verdict.valid)
      #expect(!result.verdict.saturated, "\(result.verdict.reasons)")
      let text = self.words(result)
      #expect(
        text.contains("TARGET GONE the target stopped answering 3.00s into the run: \(words)"))
      #expect(text.contains("until then it gave 2,000 ok/s"))
      #expect(try RunResult(text: Array(result.json.indentedText.utf8)) == result)
    }
  }

  @Test func aTargetThatCameBackIsNotGone() {
    let result = silent(1...2, .connect)
    #expect(result.verdict.targetGoneNs == nil)
    #expect(result.verdict.valid)
    #expect(words(result).contains("gave no ok answer from 1.00s to 3.00s of the run"))
  }

  @Test func aTimeInWhichNothingFailedIsNoTargetsFault() {
    var run = SampleRun()
    for index in run.batches.indices where index % 5 == 4 {
      run.batches[index].endpoints[0] = Batch.Endpoint(index: 0, counters: Counters())
    }
    #expect(run.result().verdict.targetGoneNs == nil)
  }

  @Test func aLimitOfOursIsSaidToBeOurs() {
    let result = run(.parse) { $0.malformations = [Malformation.headTooLong.rawValue: 5] }
    #expect(
      words(result).contains(
        "5 answers not read, by a limit of squall's own: the head is longer than 64 KiB"))
    #expect(
      words(result).contains("an answer of 127.0.0.1:8080 is more than squall takes: the head is"))
  }

  @Test(arguments: [
    ("SSH-2.0-OpenSSH_9.6\r\n", "speaks SSH, not HTTP/1.1"),
    ("\u{15}\u{3}\u{1}\u{0}\u{2}\u{2}F", "speaks TLS, not HTTP/1.1"),
    ("\u{0}\u{0}\u{12}\u{4}\u{0}", "speaks HTTP/2, not HTTP/1.1"),
    ("220 mail.example.org ESMTP", "speaks SMTP or FTP, not HTTP/1.1"),
    ("bonjour \u{1b}[2J", "what 127.0.0.1:8080 sends is not HTTP/1.1"),
  ])
  func whatIsSpokenInsteadIsNamedByItsFirstBytes(start: String, sentence: String) {
    let result = run(.parse) {
      $0.malformations = [Malformation.notHTTP.rawValue: 5]
      $0.samples = [.strangeStart: Array(start.utf8)]
    }
    #expect(words(result).contains(sentence), "\(words(result))")
    #expect(!TextReport(result).text.contains("\u{1b}"))
  }

  @Test func anAnswerCutShortIsToldFromNone() {
    let cut = run(.closed) { $0.findings = [.cutShort: 4, .cutShortByteCount: 22] }
    #expect(words(cut).contains("ends connections in the middle of its answers"))
    #expect(
      words(cut).contains(
        "4 answers cut short: the connection ended in the middle, after 5 body bytes on average"))
    let none = run(.closed) { _ in }
    #expect(words(none).contains("closes connections without an answer"))
    #expect(none.causes == nil)
    let late = run(.timeout) { $0.findings = [.lateInAnswer: 4] }
    #expect(words(late).contains("began answers and finished none in time"))
  }

  @Test func aKeepAliveLimitThatIsNotAnnouncedIsNamedWithItsNumber() {
    let exact = run(.closed, isWhole: false) {
      $0.findings = [
        .reuseClosed: 20, .answersBeforeClose: 140, .answersBeforeCloseSquared: 980,
      ]
    }
    #expect(
      words(exact).contains(
        "20 requests met a connection that the target had just closed, after 7 answers: a keep-alive "
          + "limit that it does not announce; --requests-per-connection 7 avoids it"))
    // 2, 7 and 12 answers: no limit of a number.
    let uneven = run(.closed, isWhole: false) {
      $0.findings = [.reuseClosed: 3, .answersBeforeClose: 21, .answersBeforeCloseSquared: 197]
    }
    #expect(words(uneven).contains("after 7.00 answers on average"))
    #expect(!words(uneven).contains("--requests-per-connection"))
  }

  @Test func bytesBehindAnAnswerAreCountedAndSaid() {
    let result = run(.timeout, isWhole: false) {
      $0.findings = [.strayConnections: 98, .strayByteCount: 196]
    }
    #expect(
      words(result).contains(
        "98 connections opened anew because bytes stood behind a complete answer (2.00 on average)")
    )
    #expect(result.json["causes"]?["findings"]?["stray_bytes"] == .integer(196))
  }

  @Test func reasonsThatExceedTheirErrorsAreNotPlausible() {
    var run = SampleRun()
    run.batches[0].endpoints[0].counters.malformations = [1: 1]
    #expect(run.ledger.refusedCount == 1)
  }
}
