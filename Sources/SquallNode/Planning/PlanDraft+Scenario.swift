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
    let program = scenario.program
    try Self.refuseWhatDoesNotRun(program)
    let target: TargetURL
    do throws(TargetURL.Fault) { target = try TargetURL(program.target) } catch {
      throw .usage("\(error).")
    }
    var load = program.load
    if let last = load.stages.last, last.to == 0 {
      throw .usage(
        "a load that ends slowly is not carried out yet: leave the last stage {to: 0, …} out.")
    }
    guard load.stages.dropFirst().allSatisfy({ $0.to == load.stages[0].to }) else {
      throw .usage(
        "a load of several steps is not carried out yet: write stages: [{to: 50, over: 10s}, "
          + "{for: 1m}].")
    }
    if requestCount != nil, durationNs == nil,
      program.requests.contains(where: { $0.otherwise == .stopUser })
    {
      throw .usage(
        "-n may never be reached when users stop (else: stop user): give a time with -d, too.")
    }
    let userCount = users ?? load.userCountMax
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
    if users != nil { load.stages = [] }
    if let spawnRateHz {
      guard spawnRateHz > 0 else { throw .usage("-r 0 lets no user begin: give a rate above 0.") }
      draft.rampNs = UInt64(Double(userCount) / spawnRateHz * 1e9)
    } else {
      draft.rampNs = load.stages.first?.durationNs ?? 0
    }
    if durationNs == nil, requestCount == nil, !load.stages.isEmpty {
      draft.durationNs = load.durationNs
    }
    var plan = Plan(
      url: program.target, method: "scenario",
      destinations: [Plan.Destination(host: target.host, port: target.port)],
      endpoints: program.endpoints.map {
        Plan.Endpoint(name: $0.name, request: [], expectsNoBody: false)
      },
      connections: UInt32(userCount))
    try draft.setTimes(&plan)
    plan.requestsPerConnection = try requestsPerConnectionCount()
    plan.seed = seed
    plan.spins = spins
    plan.sourceAddresses = sourceAddresses
    plan.program = program.bytes
    guard plan.bytes.count <= PlanChunk.planByteCountMax else {
      throw .usage(
        "the scenario and its data make a plan larger than the "
          + "\(PlanChunk.planByteCountMax >> 20) MiB that travel: use fewer rows or columns.")
    }
    return plan
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

  private static func refuseWhatDoesNotRun(_ program: SquallScenario.Program) throws(Complaint) {
    if let user = program.users.first(where: { $0.onStop != nil }) {
      throw .usage(
        "on_stop of the user '\(user.name)' is not carried out in a load yet: leave it out, or use "
          + "--dry-run.")
    }
    for check in program.checks where check.kind == .status {
      let first = Int(check.argument) * 8
      let errors = (400...599).first {
        program.statusSets[first + ($0 - 100) / 64] >> UInt64(($0 - 100) % 64) & 1 == 1
      }
      if let errors {
        throw .usage(
          "a status of \(errors) that counts as good is not carried out in a load yet: check for "
            + "one below 400, or use --dry-run.")
      }
    }
    if let objective = program.objectives.first(where: { $0.name != nil || $0.tag != nil }) {
      throw .usage(
        "the objective '\(objective.text)' of one name or tag is not judged yet: write it for all, or "
          + "take it out.")
    }
  }
}

extension ScenarioFile {
  /// What the scenario asks of the run as a whole.
  package func objectives() throws(Complaint) -> [Objective] {
    var objectives: [Objective] = []
    for objective in program.objectives {
      do throws(Misspelt) { objectives += try Objective.list(objective.text) } catch {
        throw .usage("slo \(error).")
      }
    }
    return objectives
  }
}
