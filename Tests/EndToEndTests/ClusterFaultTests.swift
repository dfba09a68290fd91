import Foundation
import Glibc
import Testing

extension EndToEnd {
  /// Processes die, hang and come back; what was counted stays counted, once.
  @Suite(.serialized) struct ClusterFaultTests {
    /// A run of two agents with a worker each, under load.
    private func underLoad(_ arguments: [String] = ["-d", "2500ms"]) throws -> Cluster {
      let cluster = try Cluster(Cluster.gentle + arguments)
      try cluster.addAgent()
      try cluster.addAgent()
      try cluster.awaitLoad()
      return cluster
    }

    private func worker(of agent: Child) throws -> pid_t { try #require(agent.children.first) }

    @Test func aKilledWorkerIsSeenAndReplacedAndItsCountsStay() throws {
      let cluster = try underLoad()
      let killedNs = monotonicNs()
      kill(try worker(of: cluster.agents[0]), SIGKILL)
      try cluster.hear("was killed by signal 9")
      let seenNs = monotonicNs() - killedNs
      print("a killed worker is seen after \(seenNs / 1_000) us")
      #expect(seenNs <= 200_000_000)
      try cluster.hear("is ready", times: 3)
      print("and replaced after \((monotonicNs() - killedNs) / 1_000_000) ms")
      try cluster.expectExact()
      let result = try Measured(cluster.master.output)
      #expect(result.workers.map { ($0["incarnations"] as? [String])?.count ?? 0 }.max() == 2)
      try cluster.expectAgentsLeave()
    }

    /// Its kernel closes its connection, so it is seen at once; its workers end with it.
    @Test func aKilledAgentIsMissedAndWhatItDidNotDeliverIsReported() throws {
      let cluster = try underLoad(["-d", "4s"])
      try cluster.awaitLoad(1_500)  // Some intervals of it are delivered.
      let process = try worker(of: cluster.agents[0])
      let killedNs = monotonicNs()
      cluster.agents[0].signal(SIGKILL)
      try cluster.hear("is missing")
      // There are two on this host.
      #expect(cluster.heard("(pid \(cluster.agents[0].id)) is missing") == 1)
      print("a killed agent is seen after \((monotonicNs() - killedNs) / 1_000) us")
      #expect(monotonicNs() - killedNs <= 200_000_000)
      try cluster.hear("shares dealt over 1 worker")
      let movedNs = monotonicNs() - killedNs
      print("and its load has moved after \(movedNs / 1_000_000) ms")
      // Not before its lease has ended, which it may have got just now.
      #expect(movedNs <= 600_000_000 + 700_000_000)
      try cluster.run { kill(process, 0) != 0 }
      let (result, count) = try cluster.finish(code: 6)
      #expect(result["verdict.incomplete"] as? Bool == true)
      #expect(
        cluster.heard("(pid \(cluster.agents[0].id)) was not heard of again") == 1)
      #expect(
        Set(result.workers.compactMap { $0["pid"] as? Int })
          == Set(cluster.agents.map { Int($0.id) }))
      // At most its open interval and what was on its way, at 1,000 requests a second.
      #expect((0...700).contains(count - result.sent), "\(count) \(result.requests)")
      #expect(result.workers.filter { $0["lost"] as? Bool == true }.count == 1)
      try cluster.expectAgentsLeave(except: 0)
    }

    /// 2,000 requests a second are due for six seconds, whoever is there to send them.
    @Test(arguments: [SIGKILL, SIGTERM]) func whatFallsDueIsSentOrDroppedThoughAnAgentGoes(
      signal: Int32
    ) throws {
      let cluster = try underLoad(["-d", "6s"])
      cluster.agents[0].signal(signal)
      try cluster.hear("shares dealt over 1 worker")
      let (result, count) = try cluster.finish(code: signal == SIGKILL ? 6 : 0)
      #expect(result.number("requests.due") == 12_000)
      #expect(result.sent + result.number("requests.dropped") == 12_000, "\(result.requests)")
      #expect(result.number("requests.unassigned") > 0)
      #expect(result.sent <= count)
      #expect(result.text.contains("fell due while no worker had them"))
      try cluster.expectAgentsLeave(except: 0)
    }

    /// Its share goes to the other one and comes back.
    @Test func aStoppedWorkerIsMissedAndTakenBack() throws {
      let cluster = try underLoad(["-d", "4s"])
      let process = try worker(of: cluster.agents[0])
      kill(process, SIGSTOP)
      try cluster.hear("does not move")
      try cluster.hear("shares dealt over 1 worker")
      try cluster.awaitLoad()
      kill(process, SIGCONT)
      try cluster.hear("shares dealt over 2 workers", times: 2)
      try cluster.expectExact()
      try cluster.expectAgentsLeave()
    }

    /// It is killed at the end instead of being waited for, and its pages are read.
    @Test func aWorkerThatStaysStoppedDoesNotHoldUpTheEnd() throws {
      let cluster = try underLoad(["-d", "1500ms", "--drain", "200ms"])
      kill(try worker(of: cluster.agents[0]), SIGSTOP)
      let (result, count) = try cluster.finish()
      result.expectConservation()
      #expect((result.sent - result.inFlight...result.sent).contains(count))
      try cluster.expectAgentsLeave()
    }

    @Test func aStoppedAgentIsMissedAndTakenBack() throws {
      let cluster = try underLoad(["-d", "4s"])
      let stoppedNs = monotonicNs()
      cluster.agents[0].signal(SIGSTOP)
      try cluster.hear("is missing")
      let seenNs = monotonicNs() - stoppedNs
      print("a silent agent is missed after \(seenNs / 1_000_000) ms (3 x 200 ms)")
      #expect(seenNs <= 600_000_000 + 500_000_000)
      try cluster.hear("shares dealt over 1 worker")
      let movedNs = monotonicNs() - stoppedNs
      print("and its load has moved after \(movedNs / 1_000_000) ms")
      #expect(movedNs <= 600_000_000 + 500_000_000 + 200_000_000)
      cluster.agents[0].signal(SIGCONT)
      try cluster.hear("is back")
      try cluster.hear("shares dealt over 2 workers", times: 2)
      try cluster.expectExact()
      try cluster.expectAgentsLeave()
    }

    @Test func aLoneAgentThatWasStoppedDoesNotEndTheRun() throws {
      let cluster = try Cluster(Cluster.gentle + ["-d", "3s"])
      let agent = try cluster.addAgent(workers: 2)
      try cluster.awaitLoad()
      agent.signal(SIGSTOP)
      try cluster.hear("is missing")
      agent.signal(SIGCONT)
      try cluster.hear("is back")
      try cluster.awaitLoad()
      try cluster.expectExact()
    }

    @Test func aStoppedMasterFindsEverythingWhenItGoesOn() throws {
      let cluster = try underLoad(["-d", "4s"])
      cluster.master.signal(SIGSTOP)
      for agent in cluster.agents { try agent.run { agent.errors.contains("is lost") } }
      cluster.master.signal(SIGCONT)
      try cluster.expectExact()
      try cluster.expectAgentsLeave()
    }

    @Test(arguments: [SIGTERM, SIGINT]) func anAgentToldToEndHandsOverAndLeaves(
      signal: Int32
    ) throws {
      let cluster = try underLoad()
      if signal == SIGINT {
        cluster.agents[0].signalGroup(SIGINT)  // As the terminal does it.
      } else {
        cluster.agents[0].signal(signal)
      }
      #expect(try cluster.agents[0].awaitEnd() == Child.Ending(code: 0))
      try cluster.hear("has delivered everything and left")
      try cluster.awaitLoad()
      try cluster.expectExact()
      try cluster.expectAgentsLeave()
    }

    /// A lone agent holds the longest lease, and its workers must not go on beyond it.
    @Test func withoutAMasterTheLoadEndsWithTheLease() throws {
      let cluster = try Cluster(Cluster.gentle + ["-d", "60s"], expectWorkers: 1)
      let agent = try cluster.addAgent()
      try cluster.awaitLoad()
      cluster.master.end()
      let lostNs = monotonicNs()
      var (count, grewNs) = (0, lostNs)
      try agent.run {
        let now = try cluster.target.count()
        if now != count { (count, grewNs) = (now, monotonicNs()) }
        return agent.errors.contains("the load has stopped") && monotonicNs() > grewNs + 300_000_000
      }
      print("load after the master was lost: \((grewNs - lostNs) / 1_000_000) ms, lease 2 s")
      #expect((1_000_000_000...3_000_000_000).contains(grewNs - lostNs))
      agent.signal(SIGTERM)
      try agent.run { agent.errors.contains("once more to leave now") }
      agent.signal(SIGTERM)
      #expect(try agent.awaitEnd() == Child.Ending(code: 6), "\(agent.errors)")
      #expect(agent.errors.contains("what could not be delivered is in"))
    }

    // MARK: While the run is being got ready

    @Test func aWorkerKilledBeforeTheStartIsReplaced() throws {
      let cluster = try Cluster(["-n", "3000", "-c", "8"])
      try cluster.addAgent()
      try cluster.hear("is ready")
      kill(try worker(of: cluster.agents[0]), SIGKILL)
      try cluster.addAgent()
      try cluster.expectExact()
      #expect(try Measured(cluster.master.output).sent == 3_000)
      try cluster.expectAgentsLeave()
    }

    @Test(arguments: [SIGKILL, SIGTERM]) func anAgentThatEndsBeforeTheStartIsNoLoss(
      signal: Int32
    ) throws {
      let cluster = try Cluster(["-n", "3000", "-c", "8"])
      try cluster.addAgent()
      try cluster.hear("is ready")
      cluster.agents[0].signal(signal)
      try cluster.agents[0].awaitEnd()
      try cluster.addAgent(workers: 2)
      try cluster.expectExact()
      #expect(try Measured(cluster.master.output).sent == 3_000)
      try cluster.expectAgentsLeave(except: 0)
    }

    /// Between the choice of the start instant and the instant.
    @Test func aWorkerKilledAtTheStartIsReplaced() throws {
      let cluster = try Cluster(Cluster.gentle + ["-d", "2500ms"])
      try cluster.addAgent()
      try cluster.addAgent()
      try cluster.hear("the load starts on 2 workers")
      kill(try worker(of: cluster.agents[1]), SIGKILL)
      try cluster.expectExact()
      try cluster.expectAgentsLeave()
    }
  }
}
