package import SquallLoad
internal import SquallReport

/// A run as a page or a script asks for it: a JSON object of what the flags of `squall run` say, under
/// their long names. It may come from another host, so that nothing in it reads a file or the environment
/// of this one.
package struct RunOrder: Sendable {
  /// What is wrong with one member.
  package struct Fault: Error, Equatable, Sendable {
    package var field: String
    package var sentence: String
    /// In a scenario, from 1.
    package var line: Int?
    package var column: Int?

    package init(_ field: String, _ sentence: String, line: Int? = nil, column: Int? = nil) {
      self.field = field
      self.sentence = sentence
      self.line = line
      self.column = column
    }
  }

  package internal(set) var plan: Plan
  /// As `--slo` has them, with those of the scenario.
  package let objectives: [String]
  /// The scenario as people read it; nil for one URL.
  package let explanation: String?
  let draft: PlanDraft
  let scenario: ScenarioFile?
  /// Of a scenario.
  let crowd: (users: UInt64?, spawnRateHz: Double?)

  /// `usual` is what is meant by an order that names neither URL nor scenario.
  package init(_ document: JSONValue, over usual: PlanDraft? = nil) throws(Fault) {
    var reader = try Members(document)
    let text = try reader.string("scenario")
    let named = try reader.string("url")
    let isAnother = named != nil || text != nil
    var draft = isAnother ? PlanDraft(url: named ?? "") : usual ?? PlanDraft(url: "")
    let url = isAnother ? named : draft.url
    try Self.fill(&draft, from: &reader)
    let users = try reader.count("users")
    let spawnRateHz = try reader.number("spawn_rate")
    let variables = try reader.strings(by: "variables")
    crowd = (users, spawnRateHz)
    var objectives = try reader.list("slo")
    try reader.refuseOthers()
    for objective in objectives {
      do throws(Misspelt) {
        _ = try Objective.list(objective)
      } catch {
        throw Fault("slo", "\(error).")
      }
    }
    guard let text else {
      guard url?.isEmpty == false else {
        throw Fault("url", "name the server to load, such as http://127.0.0.1:8080/.")
      }
      for (field, isGiven) in [
        ("users", users != nil), ("spawn_rate", spawnRateHz != nil),
        ("variables", !variables.isEmpty),
      ] where isGiven {
        throw Fault(field, "it is for a scenario: give one, or connections.")
      }
      plan = try Self.attempt { () throws(Complaint) in try draft.plan() }
      explanation = nil
      scenario = nil
      (self.draft, self.objectives) = (draft, objectives)
      return
    }
    let file: ScenarioFile
    do throws(ScenarioFile.Flaw) {
      file = try ScenarioFile(text: text, target: url, variables: variables)
    } catch {
      throw Fault("scenario", error.reason, line: error.line, column: error.column)
    }
    plan = try Self.attempt { () throws(Complaint) in
      try draft.plan(of: file, users: users, spawnRateHz: spawnRateHz)
    }
    objectives += file.objectiveTexts
    explanation = file.explanation
    scenario = file
    (self.draft, self.objectives) = (draft, objectives)
  }

  /// What the scenario says is to be done before the load.
  package var hasSetup: Bool { scenario?.setup != nil }

  private static func fill(
    _ draft: inout PlanDraft, from reader: inout Members
  ) throws(Fault) {
    draft.connections = try reader.count("connections") ?? draft.connections
    draft.durationNs = try reader.time("duration") ?? draft.durationNs
    draft.requestCount = try reader.count("requests") ?? draft.requestCount
    if reader.isNull("rate") { draft.rate = nil }
    draft.rate = try reader.text("rate") ?? draft.rate
    draft.stages = try reader.given("stages") ?? draft.stages
    if let arrival = try reader.string("arrival") {
      guard ["uniform", "poisson"].contains(arrival) else {
        throw Fault("arrival", "it is uniform or poisson.")
      }
      draft.arrival = arrival == "poisson" ? .poisson : .uniform
    }
    draft.inFlightLimit = try reader.count("max_in_flight") ?? draft.inFlightLimit
    draft.method = try reader.string("method") ?? draft.method
    draft.headers = try reader.given("headers") ?? draft.headers
    if let body = try reader.string("body") {
      draft.body = body
      draft.readsFiles = false
    }
    draft.timeoutNs = try reader.time("timeout") ?? draft.timeoutNs
    draft.connectTimeoutNs = try reader.time("connect_timeout") ?? draft.connectTimeoutNs
    draft.deadlineNs = try reader.time("deadline") ?? draft.deadlineNs
    draft.warmupNs = try reader.time("warmup") ?? draft.warmupNs
    draft.rampNs = try reader.time("ramp") ?? draft.rampNs
    draft.drainNs = try reader.time("drain") ?? draft.drainNs
    draft.intervalNs = try reader.time("interval") ?? draft.intervalNs
    draft.pipeline = try reader.count("pipeline") ?? draft.pipeline
    draft.requestsPerConnection =
      try reader.count("requests_per_connection") ?? draft.requestsPerConnection
    if let isOff = try reader.bool("no_keepalive") { draft.keepsAlive = !isOff }
    draft.seed = try reader.count("seed") ?? draft.seed
    let labels = try reader.strings(by: "labels")
    if !labels.isEmpty {
      draft.labels = labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    }
  }

  /// A complaint of a draft begins with the flag that it is about.
  private static func attempt(_ body: () throws(Complaint) -> Plan) throws(Fault) -> Plan {
    do throws(Complaint) {
      return try body()
    } catch {
      let flag = error.sentence.prefix { $0 != " " }
      throw Fault(fields[String(flag)] ?? "url", error.sentence)
    }
  }

  private static let fields = [
    "-c": "connections", "-d": "duration", "-n": "requests", "-R": "rate", "--stage": "stages",
    "-m": "method", "-H": "headers", "-b": "body", "-u": "users", "-r": "spawn_rate",
    "--label": "labels", "--timeout": "timeout", "--deadline": "deadline", "--warmup": "warmup",
    "--pipeline": "pipeline", "--max-in-flight": "max_in_flight",
  ]
}

/// Members of an object, each read once.
private struct Members {
  private var rest: [String: JSONValue] = [:]
  private var nulls: Set<String> = []

  init(_ document: JSONValue) throws(RunOrder.Fault) {
    guard case .object(let members) = document else {
      throw RunOrder.Fault("", "a run is a JSON object.")
    }
    for member in members {
      if member.value == .null {
        nulls.insert(member.name)
      } else {
        rest[member.name] = member.value
      }
    }
  }

  /// What is usual is not meant.
  func isNull(_ name: String) -> Bool { nulls.contains(name) }

  func refuseOthers() throws(RunOrder.Fault) {
    guard let name = rest.keys.min() else { return }
    throw RunOrder.Fault(name, "a run has no member '\(name)'.")
  }

  mutating func string(_ name: String) throws(RunOrder.Fault) -> String? {
    switch rest.removeValue(forKey: name) {
    case nil: return nil
    case .string(let text): return text
    default: throw RunOrder.Fault(name, "it is a text.")
    }
  }

  mutating func bool(_ name: String) throws(RunOrder.Fault) -> Bool? {
    switch rest.removeValue(forKey: name) {
    case nil: return nil
    case .bool(let bool): return bool
    default: throw RunOrder.Fault(name, "it is true or false.")
    }
  }

  /// A text, or a number as it is typed. An empty text is none.
  mutating func text(_ name: String) throws(RunOrder.Fault) -> String? {
    switch rest.removeValue(forKey: name) {
    case nil, .string(""): return nil
    case .string(let text): return text
    case .integer(let integer): return "\(integer)"
    case .number(let number): return "\(number)"
    default: throw RunOrder.Fault(name, "it is a number, or a text such as \"10k\".")
    }
  }

  /// A number is one of seconds.
  mutating func time(_ name: String) throws(RunOrder.Fault) -> UInt64? {
    switch rest[name] {
    case .integer(let seconds): rest[name] = .string("\(seconds)s")
    case .number(let seconds): rest[name] = .string("\(seconds)s")
    default: break
    }
    return try quantity(name) { text throws(Misspelt) in try Quantity.durationNs(text) }
  }

  mutating func count(_ name: String) throws(RunOrder.Fault) -> UInt64? {
    try quantity(name) { text throws(Misspelt) in try Quantity.count(text) }
  }

  mutating func number(_ name: String) throws(RunOrder.Fault) -> Double? {
    try quantity(name) { text throws(Misspelt) in try Quantity.number(text) }
  }

  private mutating func quantity<Value>(
    _ name: String, _ read: (String) throws(Misspelt) -> Value
  ) throws(RunOrder.Fault) -> Value? {
    guard let text = try text(name) else { return nil }
    do throws(Misspelt) {
      return try read(text)
    } catch {
      throw RunOrder.Fault(name, "\(error).", column: error.column)
    }
  }

  /// Nil when it is not there or empty.
  mutating func given(_ name: String) throws(RunOrder.Fault) -> [String]? {
    let texts = try list(name)
    return texts.isEmpty ? nil : texts
  }

  mutating func list(_ name: String) throws(RunOrder.Fault) -> [String] {
    switch rest.removeValue(forKey: name) {
    case nil, .string(""): return []
    case .string(let text): return [text]
    case .array(let elements):
      var texts: [String] = []
      for element in elements {
        guard case .string(let text) = element else {
          throw RunOrder.Fault(name, "it is a list of texts.")
        }
        texts.append(text)
      }
      return texts
    default: throw RunOrder.Fault(name, "it is a list of texts.")
    }
  }

  mutating func strings(by name: String) throws(RunOrder.Fault) -> [String: String] {
    switch rest.removeValue(forKey: name) {
    case nil: return [:]
    case .object(let members):
      var texts: [String: String] = [:]
      for member in members {
        guard case .string(let text) = member.value else {
          throw RunOrder.Fault(name, "'\(member.name)' is a text.")
        }
        texts[member.name] = text
      }
      return texts
    default: throw RunOrder.Fault(name, "it is an object of texts.")
    }
  }
}
