import Foundation
import SquallLoad
import SquallReport
import Testing

/// What a result looks like in each of its forms.
struct ReportTests {
  private func sample(open: Bool = false) -> RunResult {
    var run = SampleRun(lagNs: open ? [20_000, 30_000] : [])
    run.plan.origin.url = "http://127.0.0.1:8080/<b>?q=\"a\u{1b}[2J\""
    run.plan.labels = ["build": "=1+1", "note": "a,\"b\""]
    if open { run.open(2000) }
    run.batches[0].endpoints[0].counters.errors[Int(ErrorCause.timeout.rawValue)] = 3
    run.batches[0].endpoints[0].counters.sent += 3
    return run.result()
  }

  @Test(arguments: [false, true]) func theTextIsPlainAndFitsATerminal(open: Bool) {
    let text = TextReport(sample(open: open)).text
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      #expect(line.count <= 80, "\(line)")
      #expect(line.utf8.allSatisfy { (0x20..<0x7f).contains($0) }, "\(line)")
    }
    #expect(text.contains("3 timeout"))
    #expect(text.contains("dropped 0") == open)
    #expect(text.contains("Requests/sec:    2000.00\n"))
  }

  @Test func aRowOfCSVHasACellForEachColumn() {
    let result = sample()
    let header = Csv.header.dropLast().split(separator: ",")
    #expect(Set(header).count == header.count)
    // Quoted cells hold commas of their own.
    var cells: [String] = [""]
    var isQuoted = false
    for character in Csv.row(result).dropLast() {
      if character == "\"" { isQuoted.toggle() }
      if character == "," && !isQuoted {
        cells.append("")
      } else {
        cells[cells.count - 1].append(character)
      }
    }
    #expect(cells.count == header.count)
    func cell(_ name: String) -> String? {
      header.firstIndex(of: name[...]).map { cells[$0] }
    }
    #expect(cell("ok") == "10000")
    #expect(cell("not_ok") == "3")
    #expect(cell("error_timeout") == "3")
    #expect(cell("ok_per_s") == "2000.000")
    #expect(cell("load") == "closed")
    #expect(cell("labels") == "\"build==1+1;note=a,\"\"b\"\"\"")
  }

  /// Names, failed checks and iterations stand in every form of a scenario's result.
  @Test func whatUsersDidIsInEveryForm() throws {
    var run = SampleRun()
    run.plan.content.program = [1]
    run.plan.content.method = "scenario"
    run.plan.content.endpoints.append(.init(name: "POST /w", request: [], expectsNoBody: false))
    run.facts.checks = [[:], [2: "contains 'x, y'"]]
    for index in run.batches.indices {
      var endpoint = Batch.Endpoint(index: 1)
      endpoint.counters.sent = 3
      endpoint.counters.dropped = 1
      endpoint.counters.statuses = [200: 3]
      endpoint.counters.errors[Int(ErrorCause.check.rawValue)] = 3
      endpoint.counters.checks = [2: 2, 4: 1]
      run.batches[index].endpoints.append(endpoint)
      run.batches[index].iterations.started = 10
      run.batches[index].iterations.abandoned = 1
      run.batches[index].iterations.durations = LoadSample.sparse(
        [9, 9, 9, 9, 9, 9, 9].map { $0 * 1_000_000 })
    }
    let result = run.result()
    let written = result.requestsByName[1]
    #expect((written.sent, written.completed, written.ok, written.dropped) == (30, 30, 0, 10))
    #expect(written.checks.map(\.check) == ["contains 'x, y'", "check 4"])
    #expect(written.checks.map(\.failed) == [20, 10])
    let iterations = try #require(result.iterations)
    #expect((iterations.started, iterations.completed, iterations.abandoned) == (100, 70, 10))
    #expect(iterations.interrupted == 20)

    let read = try RunResult(text: Array(result.json.indentedText.utf8))
    #expect(read == result)
    let text = TextReport(result).text
    #expect(text.contains("     20 failed: contains 'x, y'\n"), "\(text)")
    #expect(
      text.contains("Iterations      70 completed   10 abandoned   20 interrupted   p50 9.0"),
      "\(text)")
    #expect(
      LocustCsv(result).failures.hasSuffix(
        "scenario,POST /w,\"check: contains 'x, y'\",20\nscenario,POST /w,check: check 4,10\n"))
    #expect(LocustCsv(result).stats.contains("\nscenario,POST /w,30,30,N/A,"))
    let page = HtmlReport(result, with: .none).text
    for words in [#""name":"POST /w""#, #""check":"check 4""#, #""abandoned":10"#] {
      #expect(page.contains(words), "\(words)")
    }
    #expect(sample().iterations == nil)
  }

  /// Of a schedule of iterations, what was begun is what was reached, and what found nobody is said.
  @Test func iterationsThatFoundNobodyAreTheShortfall() {
    var run = SampleRun()
    run.open(2_000)
    run.plan.content.program = [1]
    for index in run.batches.indices {
      run.batches[index].iterations.started = 500
      run.batches[index].iterations.dropped = 500
    }
    let result = run.result()
    #expect(result.rate.achievedRatio == 0.5)
    #expect(result.iterations?.dropped == 5_000)
    #expect(
      result.verdict.reasons.contains {
        $0.contains("asked for was begun, as no user was free for 5,000 iterations")
      }, "\(result.verdict.reasons)")
    let text = TextReport(result).text
    #expect(text.contains("iterations begun 1,000/s"), "\(text)")
    #expect(text.contains("dropped 5,000"), "\(text)")
    #expect(text.utf8.allSatisfy { $0 == 0x0a || (0x20..<0x7f).contains($0) })
  }

  @Test func aCellThatASpreadsheetWouldRunIsDisarmed() {
    #expect(Csv.line(["=1+1", "-5", "-x", "a\nb", "@x"]) == "'=1+1,-5,'-x,\"a\nb\",'@x\n")
  }

  /// As locust/stats.py of Locust 2 names them, in its order.
  @Test func locustsColumnsAreLocusts() {
    let tables = LocustCsv(sample(open: true))
    let percentiles = "50%,66%,75%,80%,90%,95%,98%,99%,99.9%,99.99%,100%"
    #expect(
      tables.stats.hasPrefix(
        "Type,Name,Request Count,Failure Count,Median Response Time,Average Response Time,"
          + "Min Response Time,Max Response Time,Average Content Size,Requests/s,Failures/s,"
          + percentiles + "\n"))
    #expect(
      tables.history.hasPrefix(
        "Timestamp,User Count,Type,Name,Requests/s,Failures/s," + percentiles
          + ",Total Request Count,Total Failure Count,Total Median Response Time,"
          + "Total Average Response Time,Total Min Response Time,Total Max Response Time,"
          + "Total Average Content Size\n"))
    #expect(
      tables.failures == "Method,Name,Error,Occurrences\nGET,GET /,timeout,3\n")
    #expect(tables.stats.split(separator: "\n").last?.hasPrefix(",Aggregated,10003,3,8.0") == true)
    #expect(tables.history.split(separator: "\n").count == 6)
  }

  @Test func theTimeSeriesAddsUpToTheRun() throws {
    let result = sample(open: true)
    let lines = result.timeseries(withHistograms: true).split(separator: "\n")
    var ok: Int128 = 0
    var histogram = CompactHistogram()
    for line in lines {
      let json = try JSONValue(text: Array(line.utf8))
      guard case .integer(let count) = json["ok"],
        case .string(let text) = json["response_histogram"]
      else { throw JSONMismatch("no counts in \(line)") }
      ok += count
      let bytes = try #require(Base64.decode(text))
      histogram.merge(try #require(HdrEncoding.histogram(bytes)))
    }
    #expect(ok == 10_000)
    #expect(histogram.count == 10_000)
    #expect(!result.timeseries(withHistograms: false).contains("histogram"))
  }

  /// The values of the percentile distribution are HdrHistogram's own, to the width of a bucket.
  @Test(arguments: UInt64(0)..<8) func thePercentileDistributionIsHdrHistograms(seed: UInt64) throws
  {
    var random = SplitMix64(seed: seed)
    var ours = Histogram()
    var theirs = HdrReference(
      lowestDiscernibleValue: 1, highestTrackableValue: HdrEncoding.highestNs,
      numberOfSignificantValueDigits: .three)
    for _ in 0..<5_000 {
      let span = UInt64(1) << UInt64.random(in: 8..<34, using: &random)
      let value = 1_000 + UInt64.random(in: 0..<span, using: &random)
      ours.record(value)
      theirs.record(value)
    }
    let text = HdrText.percentiles(CompactHistogram(ours))
    var lines = 0
    for line in text.split(separator: "\n").dropFirst() where !line.hasPrefix("#") {
      let cells = line.split(separator: " ").compactMap { Double($0) }
      guard cells.count >= 3 else { continue }
      lines += 1
      let reference = Double(theirs.valueAtPercentile(cells[1] * 100)) / 1e6
      #expect(abs(cells[0] / reference - 1) <= 0.004, "seed \(seed): \(line) against \(reference)")
    }
    #expect(lines > 20)
    #expect(text.contains("Total count    =         5000]"))
  }

  @Test func theHTMLPageNeedsNothingButItself() throws {
    let html = HtmlReport(sample(open: true), with: .none).text
    #expect(html.utf8.count <= HtmlReport.byteCountMax)
    for word in ["src=", "href=", "@import", "url(", "http-equiv=\"refresh"] {
      #expect(!html.contains(word), "\(word)")
    }
    #expect(html.contains("script-src 'sha256-digest'"))
    #expect(!html.contains("<b>?q"), "a name is never markup, in no part of the page")
    #expect(html.contains("&lt;b&gt;") && html.contains("\\u003cb>"))
    for name in ["script", "main", "details", "pre"] {
      let opened = html.components(separatedBy: "<\(name)").count
      #expect(opened == html.components(separatedBy: "</\(name)>").count, "\(name)")
    }
  }

  /// Hours of intervals, many workers and endpoints do not make the page large.
  @Test func theHTMLPageIsBounded() {
    var result = sample(open: true)
    let interval = result.intervals[0]
    result.intervals = (0..<4_000 as Range<UInt32>).map { index in
      var interval = interval
      interval.index = index
      interval.startNs = UInt64(index) * 1_000_000_000
      interval.endNs = interval.startNs + 1_000_000_000
      interval.workerBusy = Array(repeating: 0.5, count: 64)
      interval.workerLagP99 = Array(repeating: 10_000, count: 64)
      return interval
    }
    result.workers = Array(repeating: result.workers[0], count: 1_000)
    result.requestsByName = Array(repeating: result.requestsByName[0], count: 200)
    result.plan.url = String(repeating: "<", count: 100_000)
    result.verdict.cautions = Array(repeating: String(repeating: "&", count: 1_000), count: 500)
    #expect(HtmlReport(result, with: .none).text.utf8.count <= HtmlReport.byteCountMax)
  }
}

extension HtmlReport.Parts {
  /// Neither style nor script.
  static let none = Self(style: "", script: "", scriptDigest: "digest")
}
