import Foundation
import Glibc
import Testing

/// A target, a master and its agents, all on loopback.
final class Cluster {
  let target: Served
  let master: Child
  let port: UInt16
  private(set) var agents: [Child] = []
  let folder = try? Folder()

  /// Short heartbeats, so that what is lost is missed soon, and short intervals.
  static let haste = [
    "--heartbeat-interval", "200ms", "--heartbeat-liveness", "3", "--lease", "2s", "--interval",
    "250ms",
  ]
  /// A gentle open loop: the faults are the point, not the load.
  static let gentle = ["-R", "2000", "-c", "8"]

  init(
    _ arguments: [String], expectWorkers: Int = 2, environment: [String: String] = [:],
    isHeadless: Bool = true, namesTarget: Bool = true
  ) throws {
    target = try Served()
    master = try Squall.start(
      ["master"] + (namesTarget ? [target.url] : []) + [
        "--master-bind-port", "0", "--no-record", "--format", "json",
      ]
        + ["--expect-workers", "\(expectWorkers)"] + Self.haste
        + (isHeadless ? ["--headless"] : ["--web-port", "0", "--autoquit", "0s"]) + arguments,
      environment: environment)
    let opening = "master: waiting for workers at 127.0.0.1:"
    let master = master
    try master.run { master.errors.contains(opening) && master.errors.hasSuffix("\n") }
    let text = master.errors.components(separatedBy: opening).last ?? ""
    port = try #require(UInt16(text.prefix { $0.isNumber }))
  }

  deinit { for child in agents + [master] { child.end() } }

  /// An agent with one worker.
  @discardableResult
  func addAgent(
    _ arguments: [String] = [], port: UInt16? = nil, workers: Int = 1,
    environment: [String: String] = [:]
  ) throws -> Child {
    let data = ["XDG_DATA_HOME": folder?.path ?? "/tmp"]
    let agent = try Squall.start(
      ["worker", "--master-port", "\(port ?? self.port)", "--workers", "\(workers)"] + arguments,
      environment: data.merging(environment) { $1 })
    agents.append(agent)
    return agent
  }

  /// Lets everything go on until `condition` holds.
  func run(withinMs: UInt64 = 20_000, until condition: () throws -> Bool) throws {
    try master.run(withinMs: withinMs, until: condition)
  }

  /// Until the master has said this, or said it again.
  func hear(_ sentence: String, times: Int = 1, withinMs: UInt64 = 20_000) throws {
    try run(withinMs: withinMs) { heard(sentence) >= times }
  }

  func heard(_ sentence: String) -> Int {
    master.errors.components(separatedBy: sentence).count - 1
  }

  /// Until this many more requests have reached the target.
  func awaitLoad(_ count: Int = 200) throws {
    let before = try target.count()
    try run { try target.count() >= before + count }
  }

  /// The result, once the run is over, and what the target counted by then.
  func finish(
    code: Int32 = 0, orCode other: Int32? = nil, withinMs: UInt64 = 40_000,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws -> (result: Measured, count: Int) {
    let ending = try master.awaitEnd(withinMs: withinMs)
    #expect(
      [code, other ?? code].contains(ending.code), "\(ending) \(master.errors)",
      sourceLocation: sourceLocation)
    return (try Measured(master.output), try target.count())
  }

  /// Every request is in the totals, and in each worker's own.
  func expectExact(
    withinMs: UInt64 = 40_000, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let (result, count) = try finish(withinMs: withinMs, sourceLocation: sourceLocation)
    result.expectConservation(sourceLocation: sourceLocation)
    #expect(result.sent > 0, sourceLocation: sourceLocation)
    // What was in flight when a process was killed may have left this host or not.
    #expect(
      (result.sent - result.inFlight...result.sent).contains(count),
      "target \(count), master \(result.requests)\n\(master.errors)", sourceLocation: sourceLocation
    )
    #expect(result["verdict.incomplete"] as? Bool == false, sourceLocation: sourceLocation)
  }

  /// Each agent that is left ends by itself, and well.
  func expectAgentsLeave(
    except lost: Int? = nil, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    for (index, agent) in agents.enumerated() where index != lost {
      #expect(
        try agent.awaitEnd(withinMs: 15_000) == Child.Ending(code: 0), "\(agent.errors)",
        sourceLocation: sourceLocation)
    }
  }
}
