import ArgumentParser
import Comparison
import Foundation

/// One invocation: finds programs, runs the plan, writes what came of it.
struct Session {
  private let options: Compare
  private let package: String
  private let scratch: String
  private let squall: String?

  init(_ options: Compare) {
    self.options = options
    // This file lies in Benchmarks/Sources/compare.
    package =
      URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent().path
    scratch = NSTemporaryDirectory() + "squall-compare-\(ProcessInfo.processInfo.processIdentifier)"
    let path = options.squall ?? package + "/../.build/release/squall"
    squall =
      FileManager.default.isExecutableFile(atPath: path)
      ? URL(fileURLWithPath: path).standardizedFileURL.path : nil
  }

  // MARK: what there is

  private var locustFolder: String { package + "/.venv" }

  private var ownFolder: String {
    URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
      .path
  }

  private var folders: [String] {
    let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
    return [ownFolder, locustFolder + "/bin"] + path.split(separator: ":").map(String.init)
      + ["/usr/sbin"]
  }

  private func catalog() -> Catalog {
    let clients = Catalog.clients(locustFile: package + "/Clients/Locust/locustfile.py")
    return Catalog.find(clients, squall: squall, folders: folders, scratch: scratch)
  }

  private func programs() -> TargetPrograms {
    let find = { (name: String) in Catalog.find(program: name, folders: folders) }
    return TargetPrograms(
      squall: squall, responder: find("responder"), nginx: find("nginx"), node: find("node"),
      ordinaryScript: package + "/Targets/ordinary.js", nghttpd: find("nghttpd"),
      openssl: find("openssl"))
  }

  private func placement() -> Placement {
    let available = Affinity.current().cpus
    let chosen = Placement.choose(cpus: available, siblings: Placement.siblings)
    return Placement(
      target: options.targetCpus.map(Placement.cpuList) ?? chosen.target,
      client: options.clientCpus.map(Placement.cpuList) ?? chosen.client,
      remarks: chosen.remarks)
  }

  private func makeScratch() throws {
    try FileManager.default.createDirectory(atPath: scratch, withIntermediateDirectories: true)
  }

  private func removeScratch() {
    try? FileManager.default.removeItem(atPath: scratch)
  }

  /// `swift run compare` builds this program alone; the clients beside it are built here.
  private func buildClients() throws {
    let products = [
      "floor", "tls-floor", "h2c-floor", "epoll", "responder", "nio-client", "async-http-client",
    ]
    let missing = products.filter { name in
      !FileManager.default.isExecutableFile(atPath: "\(ownFolder)/\(name)")
    }
    guard !missing.isEmpty,
      let swift = Catalog.find(program: "swift", folders: folders)
    else { return }
    let small = ["floor", "tls-floor", "h2c-floor", "responder"]
    let needed = options.smoke ? missing.filter { small.contains($0) } : missing
    let configuration = ownFolder.hasSuffix("/debug") ? "debug" : "release"
    for product in needed {
      say("building \(product)")
      let child = try Child(
        [
          swift, "build", "-c", configuration, "--package-path", package, "--product", product,
        ], environment: ProcessInfo.processInfo.environment, cpus: nil,
        outputPrefix: "\(scratch)/build")
      let exit = wait(child, seconds: 1_800)
      if exit?.code != 0 {
        say("\(product) could not be built: \((readText(child.standardError) ?? "").suffix(300))")
      }
    }
  }

  /// PyPI's Locust in an environment of its own, kept for the next time.
  private func makeLocust() {
    guard options.locust, !options.quick, isAsked("Locust Fast") || isAsked("Locust Http"),
      !FileManager.default.isExecutableFile(atPath: locustFolder + "/bin/locust"),
      let python = Catalog.find(program: "python3", folders: folders)
    else { return }
    say("installing Locust from PyPI into \(locustFolder)")
    let steps = [
      [python, "-m", "venv", locustFolder],
      [locustFolder + "/bin/pip", "install", "--quiet", "--disable-pip-version-check", "locust"],
    ]
    for step in steps {
      let child = try? Child(
        step, environment: ProcessInfo.processInfo.environment, cpus: nil,
        outputPrefix: "\(scratch)/venv")
      let exit = child.flatMap { wait($0, seconds: 300) }
      guard exit?.code == 0 else {
        let why = child.flatMap { readText($0.standardError) } ?? ""
        say("Locust is left out: \(step[0]) failed: \(why.suffix(200))")
        return
      }
    }
  }

  /// Nil, with the process ended, when the time is over or Ctrl-C came first.
  private func wait(_ child: Child, seconds: UInt64) -> Child.Exit? {
    let deadline = monotonicNs() + seconds * 1_000_000_000
    while monotonicNs() < deadline, !isStopRequested() {
      if let exit = child.wait(untilNs: monotonicNs() + 100_000_000) { return exit }
    }
    child.end()
    return nil
  }

  private func isAsked(_ client: String) -> Bool {
    options.clients?.split(separator: ",").contains { $0 == client } ?? true
  }

  // MARK: doing it

  func list() {
    try? makeScratch()
    defer { removeScratch() }
    for entry in catalog().entries {
      let state = entry.path ?? "not here; \(entry.client.origin.howToGet)"
      print("\(entry.name): \(state)")
      if !entry.version.isEmpty { print("    \(entry.version)") }
      if !entry.client.remark.isEmpty { print("    \(entry.client.remark)") }
    }
    let programs = programs()
    for kind in TargetKind.allCases {
      print("target \(kind.rawValue): \(programs.reasonAbsent(kind) ?? "here")")
    }
    for question in Question.allCases {
      print("question \(question.rawValue): \(question.title)")
    }
  }

  func render(folder: String) throws {
    let (header, runs) = try Archive.read(folder: folder)
    let report = Report(header: header, runs: runs, isInterrupted: false)
    write(report, to: Archive(folder: folder))
  }

  mutating func compare() throws {
    try makeScratch()
    defer { removeScratch() }
    stopOnSignals()
    try buildClients()
    makeLocust()
    let catalog = catalog()
    let programs = programs()
    let placement = placement()
    let builtIn = builtInTarget(programs, placement)
    let seed = options.seed ?? UInt64(Date().timeIntervalSince1970)
    let plan = plan(builtIn: builtIn, placement: placement)
    let isHere = { (name: String) in catalog[name]?.path != nil }
    let minutes = plan.estimatedSeconds(isHere: isHere) / 60
    say(
      "\(plan.runCount(isHere: isHere)) runs, about \(fixed(minutes, 1)) minutes; seed \(seed); "
        + "target \(builtIn.rawValue) on CPU \(placement.target), client on CPU \(placement.client)"
    )
    for entry in catalog.entries where entry.path == nil && entry.name != Catalog.again {
      say("\(entry.name) is not here; \(entry.client.origin.howToGet)")
    }
    for kind in TargetKind.allCases {
      if let reason = programs.reasonAbsent(kind) { say("target \(kind.rawValue): \(reason)") }
    }
    if let reason = programs.reasonWithoutTLS { say("no TLS: \(reason)") }
    let gateSeconds = options.quick ? 15.0 : 60
    let gate = QuiesceGate.wait(secondsMax: gateSeconds, isStopped: isStopRequested, say: say)
    var header = Header(
      startedAt: ISO8601DateFormatter().string(from: Date()),
      arguments: ["compare"] + CommandLine.arguments.dropFirst(),
      seed: seed, commit: commit(), machine: .read(), placement: placement,
      clients: catalog.entries.map {
        Header.ClientNote(
          name: $0.name, isHere: $0.path != nil,
          version: $0.path == nil
            ? "not here; \($0.client.origin.howToGet)" : version(of: $0), remark: $0.client.remark)
      }, gate: gate, builtInTarget: builtIn)
    header.stillness = [placement.target, placement.client].compactMap { cpus in
      cpus.first.flatMap { Stillness(cpu: $0, seconds: 0.5) }
    }
    let archive = Archive(folder: options.output ?? package + "/results")
    archive.begin(header)
    let runner = Runner(
      catalog: catalog, scratch: scratch,
      perf: Catalog.find(program: "perf", folders: folders),
      ss: Catalog.find(program: "ss", folders: folders), isStopped: isStopRequested)
    let suite = Suite(
      Suite.Setting(
        placement: placement, programs: programs, catalog: catalog, scratch: scratch, seed: seed,
        builtIn: builtIn, gateSecondsMax: options.quick ? 2 : 10,
        hasHeadroom: options.only == nil || options.only?.contains("headroom") == true),
      runner: runner, archive: archive, say: say)
    suite.run(plan)
    let report = Report(header: header, runs: suite.runs, isInterrupted: isStopRequested())
    write(report, to: archive)
    if let failure = archive.failure { say("not everything is on disk: \(failure)") }
    if isStopRequested() { throw ExitCode(130) }
  }

  /// What the program says, what Debian says of its package, or how it was built here.
  private func version(of entry: Catalog.Entry) -> String {
    let built = ownFolder.hasSuffix("/debug") ? "debug" : "release"
    switch entry.client.origin {
    case .ours: return (entry.version + " of this tree, swift build -c \(built)").trimmed
    case .debian(let package):
      let version = output(of: ["dpkg-query", "-W", "-f", "${Version}", package])
      return entry.version + (version.map { " (Debian \($0))" } ?? "")
    case .pypi, .source: return entry.version.isEmpty ? "does not say" : entry.version
    }
  }

  private func output(of command: [String]) -> String? {
    guard let program = Catalog.find(program: command[0], folders: folders),
      let child = try? Child(
        [program] + command.dropFirst(), environment: ProcessInfo.processInfo.environment,
        cpus: nil, outputPrefix: "\(scratch)/asked")
    else { return nil }
    guard let exit = child.wait(untilNs: monotonicNs() + 5_000_000_000) else {
      child.end()
      return nil
    }
    return exit.code == 0 ? readText(child.standardOutput)?.trimmed : nil
  }

  /// `squall serve` where it starts, or what --target says.
  private func builtInTarget(_ programs: TargetPrograms, _ placement: Placement) -> TargetKind {
    switch options.target {
    case .squall: return .squall
    case .responder: return .responder
    case nil: break
    }
    do {
      let target = try RunningTarget.start(
        .squall, options: TargetOptions(), cpus: placement.target, programs: programs,
        folder: scratch)
      target.stop()
      return .squall
    } catch {
      say("the responder stands in for squall's own target: \(error)")
      return .responder
    }
  }

  private func plan(builtIn: TargetKind, placement: Placement) -> Plan {
    let cpuCount = placement.target.count + placement.client.count
    let whole =
      options.quick
      ? Plan.quick(builtIn: builtIn)
      : Plan.full(builtIn: builtIn, cpuCount: cpuCount)
    let names = { (text: String) in Set(text.split(separator: ",").map(String.init)) }
    let kept = whole.only(
      questions: options.only.map { Set(names($0).compactMap(Question.init(rawValue:))) },
      clients: options.clients.map(names))
    return options.repetitions.map(kept.repeated) ?? kept
  }

  private func write(_ report: Report, to archive: Archive) {
    for plot in report.plots() { archive.save(plot.svg, as: plot.file) }
    archive.save(report.markdown, as: "results.md")
    if options.writeDocs { writeDocument(report) }
    print(report.terminal)
    print("\(archive.folder)/results.md")
  }

  private func writeDocument(_ report: Report) {
    let path = URL(fileURLWithPath: package + "/../docs/PERFORMANCE.md").standardizedFileURL.path
    guard let text = readText(path), let new = Report.replacing(in: text, with: report.cost) else {
      say("\(path) lacks the marks between which figures belong: left as it is")
      return
    }
    do {
      try new.write(toFile: path, atomically: true, encoding: .utf8)
    } catch {
      say("\(path): \(error.localizedDescription)")
    }
  }

  private func commit() -> String {
    output(of: ["git", "-C", package, "describe", "--always", "--dirty", "--abbrev=12"])
      ?? "unknown"
  }

  /// Progress goes to standard error: one line that changes on a terminal, lines elsewhere.
  private func say(_ text: String) {
    let isTerminal = isatty(STDERR_FILENO) == 1
    let isProgress = text.hasPrefix("[")
    let line = (isTerminal ? "\r\u{1B}[2K" : "") + text + (isTerminal && isProgress ? "" : "\n")
    FileHandle.standardError.write(Data(line.utf8))
  }

  // MARK: smoke

  private var smokeLoads: [(Cell, [String])] {
    func cell(
      _ question: Question, _ wire: Wire, _ target: TargetKind, streams: Int = 1,
      connecting: Connecting = .kept
    ) -> Cell {
      var cell = Cell(question, target: target, connections: 16)
      cell.wire = wire
      cell.streams = streams
      cell.connecting = connecting
      if connecting == .full { cell.requestCount = 200 }
      return cell
    }
    return [
      (Cell(.closed, target: .responder), ["squall", "floor"]),
      (Cell(.closed, target: .squall), ["squall", "floor"]),
      (cell(.tls, .https, .nginx), ["squall", "TLS floor"]),
      (cell(.handshake, .https, .nginx, connecting: .full), ["squall"]),
      (cell(.handshake, .https, .nginx, connecting: .resumed), ["squall"]),
      (cell(.http2, .h2c, .nginx, streams: 10), ["squall", "h2c floor"]),
      (cell(.http2, .h2, .nginx, streams: 10), ["squall"]),
      (cell(.http2, .h2c, .nghttpd, streams: 100), ["squall", "h2c floor"]),
      (cell(.http2, .h2, .nghttpd, streams: 100), ["squall"]),
    ]
  }

  /// Squall and the floors, a second each: what they say they sent is what the target received.
  func smoke() throws {
    try makeScratch()
    defer { removeScratch() }
    stopOnSignals()
    try buildClients()
    let catalog = catalog()
    let placement = placement()
    let runner = Runner(
      catalog: catalog, scratch: scratch, perf: nil,
      ss: Catalog.find(program: "ss", folders: folders), isStopped: isStopRequested)
    let programs = programs()
    var failed = 0
    var running: RunningTarget?
    defer { running?.stop() }
    for (cell, clients) in smokeLoads {
      let name = cell.target.rawValue
      let load =
        cell.wire == .http1 ? name : cell.question == .http2 ? cell.label : "\(name), \(cell.label)"
      let lacks =
        programs.reasonAbsent(cell.target)
        ?? (cell.wire.isSecure ? programs.reasonWithoutTLS : nil)
      if let lacks, cell.wire != .http1 {
        print("left out: \(load): \(lacks)")
        continue
      }
      if running?.kind != cell.target || running?.options != cell.targetOptions {
        running?.stop()
        running = nil
        running = try RunningTarget.start(
          cell.target, options: cell.targetOptions, cpus: placement.target, programs: programs,
          folder: scratch)
      }
      guard let target = running else { continue }
      for client in clients {
        let run = runner.run(
          cell, client: client, repetition: 0, target: target, cpus: placement.client)
        let agrees =
          cell.target.counts
          ? Results.Metric.uncounted.value(run) == 0 : run.claim?.failed == 0
        let isGood = run.failure == nil && agrees && (run.claim?.ok ?? 0) > 0
        if !isGood { failed += 1 }
        let sent = run.claim.map { ($0.sent ?? $0.ok) + $0.probes }
        let received = cell.target.counts ? run.counted.map(String.init) ?? "unknown" : "not told"
        print(
          "\(isGood ? "ok  " : "FAIL") \(client) against \(load): claimed "
            + "\(sent.map(String.init) ?? "nothing"), received \(received)"
            + (run.failure.map { "; \($0)" } ?? ""))
      }
    }
    if failed > 0 { throw ExitCode.failure }
  }
}
