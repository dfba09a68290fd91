internal import SquallCluster
internal import SquallHTTP
package import SquallLoad
package import SquallReport
internal import SquallScenario

extension PlanDraft {
  /// The plan of a scenario under these flags, which win over what it says of its load.
  ///
  /// - Parameters:
  ///   - users: how many; nil for what the scenario says.
  ///   - spawnRateHz: how many begin in a second; nil for what the scenario says, or all at once.
  package func plan(
    of scenario: ScenarioFile, users: UInt64?, spawnRateHz: Double?
  ) throws(Complaint) -> Plan {
    try refuseWhatScenariosSay()
    var program = scenario.program
    let targets = try Self.targets(of: program)
    var load = program.load
    let requestCount = requestCount ?? (load.requestCount > 0 ? load.requestCount : nil)
    if requestCount != nil, durationNs == nil,
      program.requests.contains(where: { $0.otherwise == .stopUser })
    {
      throw .usage(
        "\(self.requestCount == nil ? "'requests'" : "-n") may never be reached when users stop "
          + "(else: stop user): give a time with -d, too.")
    }
    let userCount = users ?? program.arrivals?.userCountMax ?? load.userCountMax
    guard userCount > 0 else {
      throw .usage("the scenario does not say how many users there are: give -u, such as -u 50.")
    }
    guard userCount <= Self.connectionCountMax else {
      throw .usage("-u \(userCount) is more than the \(Self.connectionCountMax) allowed.")
    }
    for table in program.tables where table.pick == .unique && UInt64(table.rowCount) < userCount {
      throw .usage("\(table.shortage(of: userCount)).")
    }
    var draft = self
    draft.requestCount = requestCount
    if let arrivals = program.arrivals {
      if spawnRateHz != nil || requestCount != nil {
        throw .usage(
          "-r and -n are for users that go round: in this scenario iterations begin at a rate; give its "
            + "time with -d.")
      }
      if durationNs == nil, !arrivals.stages.isEmpty { draft.durationNs = arrivals.durationNs }
    }
    if users != nil { load.stages = [] }
    if let spawnRateHz {
      guard spawnRateHz > 0 else { throw .usage("-r 0 lets no user begin: give a rate above 0.") }
      let range = LoadChange.spawnHzMin...Schedule.rateHzMax
      guard range.contains(spawnRateHz) else {
        throw .usage(
          "-r \(spawnRateHz) is outside of \(range.lowerBound) to \(Figures.grouped(UInt64(range.upperBound))) "
            + "users a second.")
      }
      draft.rampNs = UInt64(Double(userCount) / spawnRateHz * 1e9)
    } else {
      draft.rampNs = load.stages.first?.durationNs ?? 0
    }
    // Without users a number of requests is never reached.
    if durationNs == nil, requestCount == nil || load.stages.last?.to == 0, !load.stages.isEmpty {
      draft.durationNs = load.durationNs
    }
    if spawnRateHz != nil || load.isOneRise {
      // The ramp of connections is the load.
      program.load.stages = []
    } else {
      draft.rampNs = 0
    }
    var plan = Plan(
      to: Plan.Origin(url: program.target, destinations: try destinations(for: targets[0])),
      sending: Plan.Content(
        method: "scenario",
        endpoints: program.endpoints.map {
          Plan.Endpoint(name: $0.name, request: [], expectsNoBody: false)
        }, program: program.bytes),
      over: Plan.Connections(UInt32(userCount)))
    plan.connections.shared = min(program.sharedConnectionCount, UInt32(userCount))
    plan.connections.originCount = UInt32(targets.count)
    guard
      userCount * UInt64(targets.count) <= Self.connectionCountMax
        || plan.connections.shared > 0
    else {
      throw .usage(
        "-u \(userCount) with a connection to each of \(targets.count) hosts are more than the "
          + "\(Self.connectionCountMax) connections allowed: write 'connections: shared N'.")
    }
    plan.connections.isNumbered = program.tables.contains { $0.pick == .unique }
    try draft.setTimes(&plan)
    if let arrivals = program.arrivals {
      let schedule = Schedule(
        startHz: arrivals.startHz,
        stages: arrivals.stages.map { .init(durationNs: $0.durationNs, endHz: $0.endHz) },
        arrival: arrivals.isPoisson ? .poisson : .uniform, seed: seed)
      plan.load = .open(schedule.holdingStart(forNs: plan.times.warmupNs))
    }
    try setWires(&plan, for: targets)
    if plan.connections.streams > 0 { try Self.refuseFieldsOfConnections(in: program) }
    plan.connections.requestsEach = try requestsPerConnectionCount()
    plan.seed = seed
    plan.spins = spins
    plan.origin.sourceAddresses = sourceAddresses
    guard plan.bytes.count <= PlanChunk.planByteCountMax else {
      throw .usage(
        "the scenario and its data make a plan larger than the "
          + "\(PlanChunk.planByteCountMax >> 20) MiB that travel: use fewer rows or columns.")
    }
    return plan
  }

  /// The hosts that a scenario speaks to, the target first.
  static func targets(of program: SquallScenario.Program) throws(Complaint) -> [TargetURL] {
    var targets: [TargetURL] = []
    for origin in program.origins {
      do throws(TargetURL.Fault) { targets.append(try TargetURL(origin.url)) } catch {
        throw .usage("\(error).")
      }
    }
    return targets
  }

  /// What is said of TLS holds for all hosts that have it; each is called by its own name.
  private func setWires(_ plan: inout Plan, for targets: [TargetURL]) throws(Complaint) {
    guard targets.count > 1 else { return try setWire(&plan, for: targets[0]) }
    guard version == .http1 else {
      throw .usage(
        "HTTP/2 is for scenarios of one host, and this one has \(targets.count): leave "
          + "\(version == .http2 ? "--http2" : "--http2-prior-knowledge") out.")
    }
    if unixSocket != nil {
      throw .usage("--unix-socket is one target, and the scenario has \(targets.count) hosts.")
    }
    if tls.serverName != nil {
      throw .usage("--sni is the name of one host, and the scenario has \(targets.count).")
    }
    var draft = self
    // Where one of them has TLS, the flags for it are in place.
    if targets.contains(where: \.isSecure) { draft.tls.isOptional = true }
    plan.origin.tls = try draft.tlsPlan(for: targets[0])
    for target in targets.dropFirst() {
      var origin = Plan.Origin(
        url: target.text, destinations: try destinations(for: target))
      origin.tls = try draft.tlsPlan(for: target)
      plan.otherOrigins.append(origin)
    }
  }

  private static func refuseFieldsOfConnections(
    in program: SquallScenario.Program
  ) throws(Complaint) {
    for request in program.requests
    where H2RequestTemplate(rendered: program.outline(of: request), scheme: "https") == nil {
      throw .usage(
        "'\(program.endpoints[Int(request.endpoint)].name)' has \(Self.fieldsOfConnections)")
    }
  }

  /// What one URL needs and a scenario says for itself.
  private func refuseWhatScenariosSay() throws(Complaint) {
    let standard = PlanDraft(url: url)
    let given: [(flag: String, isGiven: Bool)] = [
      ("-c", connections != standard.connections), ("-R", rate != nil),
      ("--stage", !stages.isEmpty), ("--arrival", arrival != standard.arrival),
      ("--max-in-flight", inFlightLimit != nil), ("--deadline", deadlineNs != nil),
      ("-m", method != nil), ("-H", !headers.isEmpty), ("-b", body != nil),
      ("--pipeline", pipeline != standard.pipeline), ("--timeout", timeoutNs != standard.timeoutNs),
      ("--ramp", rampNs != 0), ("--connect-to", !connectTo.isEmpty), ("--label", !labels.isEmpty),
    ]
    if let flag = given.first(where: \.isGiven)?.flag {
      throw .usage(
        "\(flag) is for one URL: a scenario says it in its file; -u, -r, -d and -n are its flags.")
    }
  }
}

extension ScenarioFile {
  /// What the scenario asks of the run, as `--slo` has it. An objective of a tag is one of each name with
  /// that tag.
  package var objectiveTexts: [String] {
    program.objectives.flatMap { Self.texts(of: $0, in: program) }
  }

  static func texts(
    of objective: SquallScenario.Program.NamedObjective, in program: SquallScenario.Program
  ) -> [String] {
    if let name = objective.name { return ["\(objective.text) of \(name)"] }
    guard let tag = objective.tag else { return [objective.text] }
    // A redirect may never come, and then there is nothing to judge.
    let hops = Set(program.requests.filter(\.isHop).map { Int($0.endpoint) })
    return program.endpoints.enumerated().filter {
      $0.element.tags.contains(tag) && !hops.contains($0.offset)
    }.map { "\(objective.text) of \($0.element.name)" }
  }

  package func objectives() throws(Complaint) -> [Objective] {
    var objectives: [Objective] = []
    for text in objectiveTexts {
      do throws(Misspelt) { objectives += try Objective.list(text) } catch {
        throw .usage("slo \(error).")
      }
    }
    return objectives
  }
}
