import SquallCluster
import SquallLoad

/// What a seed makes of one run or several: how large, how bad the network, which faults and when. Drawn so that
/// most seeds leave out most faults (swarm testing, Groce et al., 2012): what is everywhere hides what
/// is rare.
struct Swarm {
  enum Fault {
    case killWorker(agent: Int, slot: Int)
    case pauseWorker(agent: Int, slot: Int, forNs: UInt64)
    case killAgent(agent: Int)
    case pauseAgent(agent: Int, forNs: UInt64)
    case pauseHost(agent: Int, forNs: UInt64)
    case leave(agent: Int)
    case join
    case killMaster(forNs: UInt64)
    /// With `clockStops` as in a virtual machine that is set aside: its time stands still meanwhile.
    case pauseMaster(forNs: UInt64, clockStops: Bool)
    case cutConnection(agent: Int)
    case partition(agent: Int, toMaster: Bool, toAgent: Bool, forNs: UInt64)
    case partitionAll(forNs: UInt64)
    case clog(agent: Int, forNs: UInt64)
    case slowDisk(forNs: UInt64)
    case clockJump(agent: Int, byNs: UInt64)
    case stop

    /// The case's name.
    var kind: Substring { "\(self)".prefix { $0 != "(" } }
  }

  /// Of every message, lost or repeated, in the worst of networks.
  static let shareLostMax = 0.3

  /// Of the runs, which follow each other on one fleet.
  var plans: [Plan]
  var workersPerAgent: [Int]
  var hasToken: Bool
  var heartbeatIntervalNs: UInt64 = second
  var leaseNs: UInt64
  var loss = 0.0
  var duplication = 0.0
  var corruption = 0.0
  var delayMinNs: UInt64
  var delayMeanNs: UInt64
  /// Messages of one direction keep their order.
  var isOrdered: Bool
  var commitNs: UInt64
  var faults: [(atNs: UInt64, Fault)] = []
  /// What somebody asks the load to be, on the way: the rate where there is one, or the connections.
  var edits: [(atNs: UInt64, rateHz: Double, connections: UInt32)] = []
  /// No fault begins after it, and every one has ended by then.
  var healNs: UInt64
  var rateHz: Double
  var partsPerBatch: Int
  /// How much of the time a worker has no connection free.
  var blockedShare = 0.0
  /// Workers that are told to stop do not get the time to drain.
  var cutsDrains: Bool

  init(seed: UInt64) {
    var dice = Dice(seed: seed &* 0x9e37_79b9 &+ 1)
    workersPerAgent = (0..<Int(dice.between(1, 4))).map { _ in Int(dice.between(1, 3)) }
    let workers = workersPerAgent.reduce(0, +)
    var plan = Plan(
      to: .init(url: "http://target/", destinations: [.init(host: "target", port: 80)]),
      sending: .init(
        method: "GET",
        endpoints: [
          .init(name: "/a", request: [1], expectsNoBody: false),
          .init(name: "/b", request: [2], expectsNoBody: false),
        ]), over: .init(UInt32(dice.between(1, UInt64(3 * workers)))))
    plan.times.durationNs = dice.between(4 * second, 40 * second)
    plan.times.warmupNs = dice.chance(0.3) ? second : 0
    plan.times.intervalNs = dice.chance(0.7) ? second : second / 2
    plan.times.drainNs = 100 * millisecond
    rateHz = dice.between(5.0, 40.0)
    if dice.chance(0.35) { plan.load = .open(Schedule(startHz: rateHz)) }
    if dice.chance(0.25) { plan.requestCount = dice.between(50, 1_500) }
    plans = [plan]
    var others = Dice(seed: seed &* 0xd129_0d3d &+ 5)
    if others.chance(0.4) {
      plans[0].times.durationNs = others.between(2 * second, 8 * second)
      for _ in 0...others.below(2) {
        var plan = plans[0]
        plan.times.durationNs = others.between(2 * second, 10 * second)
        plan.connections.count = UInt32(others.between(1, UInt64(3 * workers)))
        plan.load = others.chance(0.35) ? .open(Schedule(startHz: rateHz)) : .closed
        plan.requestCount = others.chance(0.25) ? others.between(50, 600) : .max
        plan.labels = ["run": "\(plans.count)"]
        plans.append(plan)
      }
    }
    var editing = Dice(seed: seed &* 0x9fb2_1c65 &+ 9)
    if editing.chance(0.35) {
      let lastNs = plans.reduce(0) { $0 + $1.times.durationNs + 2 * second }
      for _ in 0...editing.below(5) {
        let rateHz = editing.chance(0.1) ? 0 : editing.between(1.0, 60.0)
        let connections = UInt32(editing.between(1, UInt64(6 * workers)))
        edits.append((editing.between(second, lastNs), rateHz, connections))
      }
      // Some come while another is not yet in force.
      if editing.chance(0.4), let first = edits.first {
        edits.append((first.atNs + editing.between(1, 600) * millisecond, 7, 2))
      }
      edits.sort { $0.atNs < $1.atNs }
    }
    hasToken = dice.chance(0.3)
    leaseNs = dice.chance(0.5) ? 10 * second : dice.between(3 * second, 10 * second)
    partsPerBatch = dice.chance(0.3) ? Int(dice.between(2, 5)) : 1

    cutsDrains = dice.chance(0.2)
    if dice.chance(0.3) { blockedShare = dice.between(0.1, 0.9) }

    // The network.
    delayMinNs = dice.chance(0.5) ? 100 * microsecond : dice.between(0, 30) * millisecond
    delayMeanNs = dice.chance(0.5) ? 200 * microsecond : dice.between(1, 100) * millisecond
    isOrdered = dice.chance(0.5)
    if dice.chance(0.5) { loss = Self.share(&dice) }
    if dice.chance(0.5) { duplication = Self.share(&dice) }
    if dice.chance(0.3) { corruption = dice.between(0.0, 0.02) }
    commitNs = dice.chance(0.7) ? 2 * millisecond : dice.between(1, 200) * millisecond

    // The faults.
    healNs = dice.between(8 * second, 30 * second)
    guard dice.chance(0.9) else { return }
    let kinds = (0..<16).filter { _ in dice.chance(0.3) }
    guard !kinds.isEmpty else { return }
    for _ in 0..<Int(dice.between(1, 10)) {
      let atNs = dice.between(100 * millisecond, healNs - second)
      let forNs = min(
        dice.chance(0.5)
          ? dice.between(50 * millisecond, 2 * second) : dice.between(2, 14) * second,
        healNs - atNs)
      let agent = dice.below(8)
      let slot = dice.below(3)
      let fault: Fault =
        switch kinds[dice.below(kinds.count)] {
        case 0, 1: .killWorker(agent: agent, slot: slot)
        case 2: .pauseWorker(agent: agent, slot: slot, forNs: forNs)
        case 3: .killAgent(agent: agent)
        case 4: .pauseAgent(agent: agent, forNs: forNs)
        case 5: .pauseHost(agent: agent, forNs: forNs)
        case 6: .leave(agent: agent)
        case 7: .join
        case 8, 9: .killMaster(forNs: forNs)
        case 10: .pauseMaster(forNs: forNs, clockStops: dice.chance(0.3))
        case 11: .cutConnection(agent: agent)
        case 12:
          .partition(
            agent: agent, toMaster: dice.chance(0.6), toAgent: dice.chance(0.6), forNs: forNs)
        case 13: dice.chance(0.5) ? .partitionAll(forNs: forNs) : .clog(agent: agent, forNs: forNs)
        case 14: .slowDisk(forNs: forNs)
        default:
          dice.chance(0.3)
            ? .stop : .clockJump(agent: agent, byNs: dice.between(1, 5000) * millisecond)
        }
      faults.append((atNs, fault))
    }
    faults.sort { $0.atNs < $1.atNs }
  }

  /// The worst as often as all that is less bad.
  private static func share(_ dice: inout Dice) -> Double {
    dice.chance(0.5) ? shareLostMax : dice.between(0.0, shareLostMax)
  }
}
