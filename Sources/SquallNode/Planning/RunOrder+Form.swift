package import SquallLoad
internal import SquallReport

/// The run of a command line as a form says it.
extension RunOrder {
  /// Nil where no form can: the order that this is must come to the very plan.
  ///
  /// - Parameter path: of the scenario; nil for one URL, which is the draft's.
  package static func form(
    _ draft: PlanDraft, ofScenario path: String? = nil, users: UInt64? = nil,
    spawnRateHz: Double? = nil, variables: [String: String] = [:], for plan: Plan
  ) -> JSONValue? {
    var members = members(of: draft, isScenario: path != nil)
    if let path {
      guard let text = try? ScenarioFile.text(of: path) else { return nil }
      members.append(.init("scenario", .string(text)))
    }
    if let users { members.append(.init("users", .integer(Int128(users)))) }
    if let spawnRateHz { members.append(.init("spawn_rate", .string(plain(spawnRateHz)))) }
    if !variables.isEmpty {
      members.append(
        .init(
          "variables",
          .object(
            variables.sorted { $0.key < $1.key }.map { .init($0.key, .string($0.value)) })))
    }
    let document = JSONValue.object(members)
    guard let order = try? RunOrder(document), order.plan.bytes == plan.bytes else { return nil }
    return document
  }

  /// What differs from what is usual.
  private static func members(of draft: PlanDraft, isScenario: Bool) -> [JSONValue.Member] {
    let usual = PlanDraft(url: "")
    var members: [JSONValue.Member] = []
    func add(_ name: String, _ value: JSONValue) { members.append(.init(name, value)) }
    func add(_ name: String, ns: UInt64?) {
      if let ns { add(name, .string(Figures.plainDuration(ns))) }
    }
    func add(_ name: String, ns path: KeyPath<PlanDraft, UInt64>) {
      if draft[keyPath: path] != usual[keyPath: path] { add(name, ns: draft[keyPath: path]) }
    }
    if !draft.url.isEmpty { add("url", .string(draft.url)) }
    if !isScenario { add("connections", .integer(Int128(draft.connections))) }
    add("duration", ns: draft.durationNs)
    if let count = draft.requestCount { add("requests", .integer(Int128(count))) }
    if let rate = draft.rate { add("rate", .string(rate)) }
    if !draft.stages.isEmpty { add("stages", .array(draft.stages.map { .string($0) })) }
    if draft.arrival == .poisson { add("arrival", .string("poisson")) }
    if let limit = draft.inFlightLimit { add("max_in_flight", .integer(Int128(limit))) }
    if let method = draft.method { add("method", .string(method)) }
    if !draft.headers.isEmpty { add("headers", .array(draft.headers.map { .string($0) })) }
    if let body = draft.body { add("body", .string(body)) }
    add("timeout", ns: \.timeoutNs)
    add("connect_timeout", ns: \.connectTimeoutNs)
    add("deadline", ns: draft.deadlineNs)
    add("warmup", ns: \.warmupNs)
    add("ramp", ns: \.rampNs)
    add("drain", ns: \.drainNs)
    add("interval", ns: \.intervalNs)
    if draft.pipeline != usual.pipeline { add("pipeline", .integer(Int128(draft.pipeline))) }
    if let count = draft.requestsPerConnection {
      add("requests_per_connection", .integer(Int128(count)))
    }
    if !draft.keepsAlive { add("no_keepalive", .bool(true)) }
    if draft.seed != usual.seed { add("seed", .integer(Int128(draft.seed))) }
    let labels = draft.labels.compactMap { label -> JSONValue.Member? in
      guard let split = label.firstIndex(of: "=") else { return nil }
      return .init(String(label[..<split]), .string(String(label[label.index(after: split)...])))
    }
    if !labels.isEmpty { add("labels", .object(labels)) }
    return members
  }

  private static func plain(_ number: Double) -> String {
    UInt64(exactly: number).map { "\($0)" } ?? "\(number)"
  }
}
