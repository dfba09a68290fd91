internal import SquallLoad

/// A result for a terminal: at most 80 columns of plain ASCII, what spoils it first, the verdict
/// beside the numbers, and wrk's three lines at the end for those who look there.
package struct TextReport {
  private let result: RunResult
  private var lines: [String] = []

  package init(_ result: RunResult) {
    self.result = result
    head()
    warnings()
    throughput()
    failures()
    latencies()
    names()
    iterations()
    evenness()
    client()
    hosts()
    accounts()
    objectives()
    tail()
  }

  package var text: String { lines.joined(separator: "\n") + "\n" }

  private mutating func row(_ name: String, _ parts: [String]) {
    lines += Self.packed(parts, after: "  " + Columns.left(name, 16))
  }

  /// Parts stay whole, two spaces between them.
  private static func packed(_ parts: [String], after first: String) -> [String] {
    var lines: [String] = []
    var line = first
    var isEmpty = true
    for part in parts {
      if !isEmpty && line.count + 3 + part.count > Columns.width {
        lines.append(line)
        line = String(repeating: " ", count: first.count)
        isEmpty = true
      }
      line += isEmpty ? part : "   " + part
      isEmpty = false
    }
    return lines + [line]
  }

  private mutating func head() {
    let plan = result.plan
    let loop = plan.schedule == nil ? "closed loop" : "open loop"
    let title = "\(result.tool.name) \(result.tool.version)".split(separator: " ").joined(
      separator: " ")
    let parts = ["\(Columns.harmless(plan.method))  \(protocolName)", loop]
    let url = Columns.elided(Columns.harmless(plan.url), Columns.width - title.count - 2)
    let first = "\(title)  \(url)"
    if first.count + 2 + parts.joined(separator: "   ").count <= Columns.width {
      lines.append(([first + "  " + parts[0]] + parts.dropFirst()).joined(separator: "   "))
    } else {
      lines += [first, "  " + parts.joined(separator: "   ")]
    }
    if let path = plan.destinations.first, path.hasPrefix("/") {
      lines.append("  over " + Columns.elided(Columns.harmless(path), Columns.width - 7))
    }
    lines += Self.packed([workers, connections, times], after: "  ")
    if let schedule = plan.schedule { lines += Self.packed(Self.load(schedule), after: "  ") }
    if let changes = result.changes { lines += Self.packed(Self.load(changes), after: "  ") }
    if !plan.labels.isEmpty {
      let labels = plan.labels.sorted { $0.key < $1.key }
        .map { Columns.harmless("\($0.key)=\($0.value)") }
      lines += Self.packed(labels, after: "  ")
    }
  }

  /// `HTTP/2 over TLS 1.3`.
  private var protocolName: String {
    let name = result.http?.version == "2" ? "HTTP/2" : "HTTP/1.1"
    guard let tls = result.tls else { return name }
    return "\(name) over TLS" + (tls.version.map { " \($0)" } ?? "")
  }

  private var workers: String {
    let count = result.workers.count
    let cpus = result.workers.compactMap(\.cpu)
    let hosts = Set(result.workers.map(\.host)).count
    var text = count == 1 ? "1 worker" : "\(count) workers"
    if hosts > 1 { text += " on \(hosts) hosts" }
    if count > 0 && cpus.count == count {
      text += hosts > 1 ? ", pinned" : " pinned cpu " + Self.ranges(cpus)
    } else if count > 0 {
      text += ", not pinned"
    }
    return text
  }

  /// `4-7,9`.
  static func ranges(_ numbers: [UInt32]) -> String {
    var parts: [String] = []
    var rest = Set(numbers).sorted()[...]
    while let first = rest.popFirst() {
      var last = first
      while rest.first == last + 1 { last = rest.removeFirst() }
      parts.append(
        first == last ? "\(first)" : last == first + 1 ? "\(first),\(last)" : "\(first)-\(last)")
    }
    return parts.joined(separator: ",")
  }

  private var connections: String {
    let plan = result.plan
    var text =
      plan.connections == 1 ? "1 connection" : "\(Figures.grouped(plan.connections)) connections"
    if let users = plan.users { text = "\(Figures.grouped(users)) users on \(text)" }
    let count = UInt32(result.workers.count)
    if count > 1 {
      text +=
        plan.connections % count == 0
        ? " (\(Figures.grouped(plan.connections / count)) each)"
        : " (\(plan.connections / count) or \(plan.connections / count + 1) each)"
    }
    if let streams = result.http?.streams, streams > 0 {
      text += streams == 1 ? ", 1 stream each" : ", \(streams) streams each"
    }
    if plan.pipeline > 1 { text += ", pipeline \(plan.pipeline)" }
    if plan.requestsPerConnection == 1 { text += ", no keep-alive" }
    return text
  }

  private var times: String {
    var text = ""
    if result.plan.warmupNs > 0 {
      text = "warm-up \(Figures.plainDuration(result.plan.warmupNs)) + "
    }
    guard result.measuredNs > 0 else { return text + "nothing measured" }
    return text + "\(Figures.duration(result.measuredNs)) measured"
  }

  private static func load(_ schedule: PlanSummary.Schedule) -> [String] {
    var steps = [Figures.short(schedule.startPerS) + "/s"]
    steps += schedule.stages.prefix(8).map {
      "\(Figures.plainDuration($0.durationNs)) to \(Figures.short($0.endPerS))/s"
    }
    if schedule.stages.count > 8 { steps.append("\(schedule.stages.count - 8) more stages") }
    return ["rate " + steps.joined(separator: ", "), "\(schedule.arrival) arrival"]
  }

  private static func load(_ changes: [RunResult.Change]) -> [String] {
    let left = changes.count - min(changes.count, 8)
    let earlier = left > 0 ? ["changed \(left) times more before"] : []
    return earlier
      + changes.suffix(8).map { "changed at \(Figures.duration($0.atNs)) to \($0.words)" }
  }

  private mutating func warnings() {
    var sentences: [(String, String)] = []
    if result.interrupted {
      sentences.append(("INTERRUPTED", "these are the numbers up to the interruption"))
    }
    if result.verdict.incomplete {
      sentences.append(("INCOMPLETE", "counts are missing, see Counts below"))
    }
    for (index, reason) in result.verdict.reasons.enumerated() {
      let isOfTarget = index == 0 && result.verdict.targetGoneNs != nil
      let word = isOfTarget ? "TARGET GONE" : result.verdict.saturated ? "SATURATED" : "NOT VALID"
      sentences.append((word, reason))
    }
    if result.requests.ok == 0 {
      let hasAnswers = result.errors[.status] + result.errors[.parse] > 0
      sentences.append((hasAnswers ? "NO OK ANSWER" : "NO ANSWER", Self.silence(result)))
    }
    guard !sentences.isEmpty else { return }
    lines.append("")
    for (word, sentence) in sentences {
      lines += Columns.wrapped(sentence, after: "  " + Columns.left(word, 13))
    }
  }

  private static func silence(_ result: RunResult) -> String {
    guard !result.workers.isEmpty else {
      return
        "no worker took part, so nothing was sent: start squall worker, or lower --expect-workers"
    }
    let target = result.plan.destinations.first.map(Columns.harmless) ?? "the target"
    let causes = ErrorCause.allCases.filter { result.errors[$0] > 0 }
    switch causes.max(by: { result.errors[$0] < result.errors[$1] }) {
    case .connect:
      // What this host lacked is said already.
      return result.verdict.reasons.isEmpty
        ? "no connection to \(target) could be opened: is a server listening there?"
        : "no connection to \(target) could be opened, see above"
    case .timeout, .deadline:
      return result.found(.lateInAnswer) > 0
        ? "\(target) began answers and finished none in time"
        : "\(target) took requests and answered none in time"
    case .parse: return unreadable(result, target)
    case .status: return rejected(result)
    case .closed, .reset:
      return result.found(.cutShort) > 0
        ? "\(target) ends connections in the middle of its answers"
        : "\(target) closes connections without an answer"
    case .check: return "no answer of \(target) held what the scenario checks"
    case .tls:
      let failures = TLSFailure.allCases.filter { result.tls?.failures[$0.name] != nil }
      let most = failures.max {
        result.tls?.failures[$0.name] ?? 0 < result.tls?.failures[$1.name] ?? 0
      }
      return most.map { "\(target) \($0.explanation): \($0.remedy)" }
        ?? "no request to \(target) was answered"
    case .send, .other: return "no request to \(target) was answered"
    case nil:
      guard result.found(.unaskedConnections) > 0 else {
        return "there was no time for a single response"
      }
      let start = result.causes?.samples[Sample.strangeStart.name] ?? ""
      return RunResult.Causes.protocolName(start).map {
        "\(target) speaks \($0), not HTTP/1.1: it spoke before it was asked"
      } ?? "\(target) sends bytes before it is asked, which HTTP/1.1 has not"
    }
  }

  private static func rejected(_ result: RunResult) -> String {
    guard result.status.count == 1, let code = result.status.keys.first else {
      return "every response had a status outside 200 to 399, see Status below"
    }
    let remedy =
      switch code {
      case "401", "403": "it wants authorization, such as -H 'Authorization: ...'"
      case "404": "check the path of the URL"
      case "405":
        "it does not take \(Columns.harmless(result.plan.method)) there: choose another with -m"
      case "429": "it limits the rate: ask for less (-R), or lift its limit"
      default: "look at the target, or at the request (--debug shows both)"
      }
    return "every response had status \(code): \(remedy)"
  }

  private static func unreadable(_ result: RunResult, _ target: String) -> String {
    guard let first = result.causes?.malformed.first else {
      return "what \(target) sends cannot be read as HTTP/1.1"
    }
    guard let start = result.causes?.samples[Sample.strangeStart.name] else {
      return first.isOurLimit
        ? "an answer of \(target) is more than squall takes: \(first.explanation)"
        : "no answer of \(target) could be read: \(first.explanation)"
    }
    let begins = "its answer begins with '\(Columns.cut(start, 40))'"
    return RunResult.Causes.protocolName(start).map {
      "\(target) speaks \($0), not HTTP/1.1: \(begins)"
    }
      ?? "what \(target) sends is not HTTP/1.1: \(begins)"
  }

  private mutating func throughput() {
    lines.append("")
    let seconds = Double(result.measuredNs) * 1e-9
    let measured = result.measured
    var parts = ["\(Figures.rate(result.rate.okPerS)) ok/s"]
    parts.append("\(Figures.grouped(measured.ok)) ok in \(Figures.fixed(seconds, 2))s")
    if seconds > 0 { parts.append("\(Figures.bytes(Double(measured.bytes) / seconds))/s in") }
    let drained = result.requests.ok - min(measured.ok, result.requests.ok)
    if drained > 0 { parts.append("\(Figures.grouped(drained)) more ok in the drain") }
    row("Throughput", parts)
    guard let target = result.rate.targetPerS else { return }
    let users = result.iterations
    var rate = ["target \(Figures.rate(target))/s"]
    if let ratio = result.rate.achievedRatio {
      rate.append(
        "\(users == nil ? "sent" : "iterations begun") \(Figures.rate(target * ratio))/s (ratio \(Figures.fixed(ratio, 3)))"
      )
    }
    rate.append("dropped \(Figures.grouped(users?.dropped ?? result.requests.dropped))")
    row("Rate", rate)
  }

  private mutating func failures() {
    var parts: [String] = []
    for cause in ErrorCause.allCases where result.errors[cause] > 0 {
      parts.append("\(Figures.grouped(result.errors[cause])) \(cause.name)")
    }
    if parts.isEmpty { parts = ["0"] }
    if result.requests.inFlightAtStop != 0 {
      parts.append("\(Figures.grouped(result.requests.inFlightAtStop)) in flight at stop")
    }
    row("Not ok", parts)
  }

  private static let headings = ["avg", "p50", "p90", "p99", "p99.9", "p99.99", "max"]

  private mutating func latencies() {
    guard result.requests.ok > 0 else { return }
    let cells = Self.headings.map { Columns.right($0, 8) }.joined()
    lines.append("  " + Columns.left("Latency", 14) + cells)
    let latency = result.latency
    latencyRow(" response", latency.response)
    latencyRow(" service", latency.service)
    if latency.scheduleLag.count > 0 { latencyRow(" sent late by", latency.scheduleLag) }
    latencyRow(" first byte", latency.firstByte)
    latencyRow(" connect", latency.connect)
    if latency.tls.count > 0 { latencyRow(" tls", latency.tls) }
    lines.append(
      result.plan.schedule == nil
        ? result.plan.users == nil
          ? "   closed loop: scheduled when sent, so response time is service time"
          : "   response: with the wait for a shared connection; service: from the send"
        : "   response: from the scheduled instant; service: from the send")
    if latency.response.over > 0 {
      lines.append("   \(Figures.grouped(latency.response.over)) responses took more than 68.7 s")
    }
  }

  private mutating func latencyRow(_ name: String, _ summary: LatencySummary) {
    guard summary.count > 0 else { return }
    let values = [
      summary.mean, summary.p50, summary.p90, summary.p99, summary.p999, summary.p9999, summary.max,
    ]
    let cells = values.map { Columns.right(Figures.duration($0), 8) }.joined()
    lines.append("  " + Columns.left(name, 14) + cells)
  }

  private static let nameHeadings = ["sent", "not ok", "p50", "p99", "max"]
  private static let nameWidths = [11, 9, 8, 8, 8]

  /// One line for each name of a scenario.
  private mutating func names() {
    guard result.hasNames else { return }
    func cells(_ texts: [String]) -> String {
      zip(texts, Self.nameWidths).map { Columns.right($0, $1) }.joined()
    }
    lines.append("  " + Columns.left("Names", 34) + cells(Self.nameHeadings))
    for endpoint in result.requestsByName {
      let response = endpoint.latency.response
      let times = response.count > 0 ? [response.p50, response.p99, response.max] : []
      var figures = [Figures.grouped(endpoint.sent), Figures.grouped(endpoint.notOk)]
      figures += times.isEmpty ? ["-", "-", "-"] : times.map { Figures.duration($0) }
      let name = String(Columns.harmless(endpoint.name).prefix(32))
      lines.append("   " + Columns.left(name, 33) + cells(figures))
      for check in endpoint.checks {
        let words = Columns.harmless("\(Figures.grouped(check.failed)) failed: \(check.check)")
        lines += Columns.wrapped(words, after: "     ")
      }
    }
  }

  private mutating func iterations() {
    guard let iterations = result.iterations else { return }
    var parts = ["\(Figures.grouped(iterations.completed)) completed"]
    if iterations.abandoned > 0 {
      parts.append("\(Figures.grouped(iterations.abandoned)) abandoned")
    }
    if iterations.interrupted != 0 {
      parts.append("\(Figures.grouped(iterations.interrupted)) interrupted")
    }
    let time = iterations.time
    if time.count > 0 {
      for (name, value) in [("p50", time.p50), ("p95", time.p95), ("p99", time.p99)] {
        parts.append("\(name) \(Figures.duration(value))")
      }
    }
    row("Iterations", parts)
  }

  private mutating func evenness() {
    if let spread = RateSpread(result) {
      row(
        "Per second",
        [
          "min \(Figures.short(spread.minPerS))", "median \(Figures.short(spread.medianPerS))",
          "max \(Figures.short(spread.maxPerS))", "cv \(Figures.percent(spread.variation))",
        ])
    }
    let connections = result.connections
    if let least = connections.okMin, let median = connections.okMedian,
      let most = connections.okMax, most > 0
    {
      row(
        "Per connection",
        [
          "min \(Figures.grouped(least))",
          "median \(Figures.grouped(median))",
          "max \(Figures.grouped(most)) ok",
          "starved \(Figures.grouped(connections.starved))",
        ])
    }
    if connections.opened > 0 {
      row(
        "Connections",
        [
          "\(Figures.grouped(connections.opened)) opened",
          "\(Figures.grouped(connections.reopened)) of them again",
        ])
    }
    tls()
    http2()
  }

  private mutating func http2() {
    guard let http = result.http else { return }
    for (name, counts) in [("Gone away", http.goAwayCodes), ("Streams reset", http.resetCodes)] {
      let parts = RunResult.HTTP.parts(counts).map { code, count in
        "\(Figures.grouped(count)) \(code.name)"
      }
      if !parts.isEmpty { row(name, parts) }
    }
    if http.sentAgain > 0 {
      row(
        "Sent again",
        ["\(Figures.count(http.sentAgain, "request")) that the target had not looked at"])
    }
  }

  private mutating func tls() {
    guard let tls = result.tls, let version = tls.version else { return }
    var parts = ["\(version)", tls.cipher ?? "", tls.group ?? ""].filter { !$0.isEmpty }
    parts.append("\(Figures.grouped(tls.handshakes.full)) full handshakes")
    if tls.handshakes.resumed > 0 {
      parts.append("\(Figures.grouped(tls.handshakes.resumed)) resumed")
    }
    if tls.handshakes.failed > 0 {
      parts.append("\(Figures.grouped(tls.handshakes.failed)) failed")
    }
    if !tls.verified { parts.append("certificate not checked (-k)") }
    row("TLS", parts)
  }

  private mutating func client() {
    let workers = result.workers
    guard !workers.isEmpty else { return }
    let busy = workers.map(\.busyRatio).sorted()
    var parts: [String] = []
    if workers.count <= 8 {
      let list = workers.map { Figures.fixed($0.busyRatio * 100, 0) + "%" }
      parts.append("cpu " + list.joined(separator: " "))
    } else {
      parts.append(
        "cpu " + Figures.percent(busy[0]) + " to " + Figures.percent(busy[busy.count - 1]))
    }
    let completed = result.requests.completed
    if completed > 0 {
      let cpu = workers.reduce(0) { $0 + $1.cpuUserNs + $1.cpuSystemNs }
      let calls = workers.reduce(0) { $0 + $1.systemCalls }
      parts.append("\(Figures.significant(Double(cpu) / Double(completed) / 1000)) us cpu/req")
      parts.append("\(Figures.significant(Double(calls) / Double(completed))) syscalls/req")
    }
    if result.latency.scheduleLag.count > 0 {
      parts.append("lag p99 \(Figures.duration(result.latency.scheduleLag.p99))")
    }
    if let backend = result.backend { parts.append(backend) }
    if let ratio = result.verdict.littlesLawRatio {
      parts.append("Little's law \(Figures.fixed(ratio, 3))")
    }
    row("Client", parts)
    for (number, worker) in workers.enumerated() where worker.incarnations.count > 1 || worker.lost
    {
      let name = worker.cpu.map { "worker \(number) (cpu \($0))" } ?? "worker \(number)"
      let lives = worker.incarnations.joined(separator: ", then ")
      let fate = worker.lost ? "was lost" : "was started again"
      lines += Columns.wrapped(
        "\(name) \(fate): \(lives)", after: String(repeating: " ", count: 18))
    }
    let verdict = result.verdict
    let word = verdict.saturated ? "generator SATURATED" : "generator not saturated"
    let most = busy[busy.count - 1]
    let idle = "busiest worker \(Figures.percent(max(0, 1 - most))) idle"
    row("Verdict", [word, idle])
    for caution in verdict.cautions {
      lines += Columns.wrapped(caution, after: String(repeating: " ", count: 18) + "- ")
    }
  }

  private static let workerHeadings = ["cpu", "conns", "sent", "ok", "not ok", "busy"]
  private static let workerWidths = [5, 7, 13, 13, 9, 6]

  /// One line for each worker of a run that a master led.
  private mutating func hosts() {
    guard result.run != nil, !result.workers.isEmpty else { return }
    func cells(_ texts: [String]) -> String {
      zip(texts, Self.workerWidths).map { Columns.right($0, $1) }.joined()
    }
    lines.append("  " + Columns.left("Workers", 20) + cells(Self.workerHeadings))
    for worker in result.workers {
      let fate = worker.lost ? "  lost" : ""
      let figures = [
        worker.cpu.map(String.init) ?? "any", Figures.grouped(worker.connections),
        Figures.grouped(worker.sent), Figures.grouped(worker.ok), Figures.grouped(worker.notOk),
        Figures.fixed(worker.busyRatio * 100, 0) + "%",
      ]
      let hasNamesake = result.workers.contains {
        $0.host == worker.host && $0.process != worker.process
      }
      let host = WorkerFacts.called(
        Columns.harmless(worker.host), process: worker.process, hasNamesake: hasNamesake)
      lines.append("   " + Columns.left(Columns.elided(host, 18), 19) + cells(figures) + fate)
    }
  }

  private mutating func accounts() {
    let requests = result.requests
    var sum = "\(Figures.grouped(requests.sent)) sent"
    if requests.carriedIn != 0 { sum += " + \(Figures.grouped(requests.carriedIn)) from warm-up" }
    sum +=
      " = \(Figures.grouped(requests.ok)) ok + \(Figures.grouped(requests.notOk)) not ok"
      + " + \(Figures.grouped(requests.inFlightAtStop)) in flight"
    lines += Columns.wrapped(sum, after: "  " + Columns.left("Counts", 16))
    let conservation = result.verdict.conservation
    if result.workers.isEmpty {
      row("", ["no worker has a ledger of this run"])
    } else if conservation.balanced {
      row("", ["every worker's ledger agrees"])
    } else {
      lines += Columns.wrapped(
        "workers' ledgers have \(Figures.grouped(conservation.workerSum)) sent, the total "
          + "\(Figures.grouped(conservation.total)): \(Figures.grouped(conservation.missing)) missing; "
          + "\(conservation.ledgersAbsent) ledgers absent, \(conservation.ledgersDiffering) differ",
        after: String(repeating: " ", count: 18))
    }
    let status = result.status.sorted { $0.key < $1.key }
    if !status.isEmpty {
      row("Status", status.map { "\($0.key): \(Figures.grouped($0.value))" })
    }
  }

  private mutating func objectives() {
    for (index, outcome) in result.slo.enumerated() {
      let word = outcome.pass.map { $0 ? "pass" : "FAIL" } ?? "not judged"
      let value = outcome.value.map { Self.value($0, of: outcome.expression) } ?? "no value"
      lines.append(
        "  " + Columns.left(index == 0 ? "Objectives" : "", 16)
          + "\(word)  \(outcome.expression)  (\(value))")
    }
  }

  static func value(_ value: Double, of expression: String) -> String {
    if expression.hasPrefix("errors") { return Figures.percent(value) }
    if expression.hasPrefix("rate") { return Figures.rate(value) + "/s" }
    return Figures.duration(UInt64(max(0, value)))
  }

  /// wrk's closing lines, of ok responses.
  private mutating func tail() {
    let seconds = Double(result.measuredNs) * 1e-9
    let measured = result.measured
    let received = Double(measured.bytes)
    lines.append("")
    lines.append(
      "\(measured.ok) requests in \(Figures.fixed(seconds, 2))s, "
        + "\(Self.wrkBytes(received)) read")
    lines.append("Requests/sec: \(Columns.right(Figures.fixed(result.rate.okPerS, 2), 10))")
    lines.append(
      "Transfer/sec: \(Columns.right(Self.wrkBytes(seconds > 0 ? received / seconds : 0), 10))")
  }

  private static func wrkBytes(_ count: Double) -> String {
    var rest = count
    for unit in ["B", "KB", "MB", "GB"] {
      if rest < 1024 { return Figures.fixed(rest, unit == "B" ? 0 : 2) + unit }
      rest /= 1024
    }
    return Figures.fixed(rest, 2) + "TB"
  }
}
