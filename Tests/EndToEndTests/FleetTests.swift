import Foundation
import Glibc
import Testing

extension EndToEnd {
  /// `squall fleet` against real sshd processes.
  @Suite(.serialized, .enabled(if: SSHHosts.canBeMade, "there is no sshd on this host"))
  struct FleetTests {
    private func start(
      _ hosts: SSHHosts, on names: String, _ arguments: [String]
    ) throws -> Child {
      try Squall.start(
        ["fleet", "run", "--on", names] + hosts.flags
          + ["--workers", "1", "--format", "json"]
          + ["--heartbeat-interval", "200ms", "--lease", "2s", "--interval", "250ms"]
          + Cluster.gentle + arguments)
    }

    /// A fleet that still prepares: h1 is ready, and another host takes connections and says nothing, as one
    /// does whose sshd hangs. The socket is to be closed.
    private func startWithASilentHost(_ hosts: SSHHosts) throws -> (Child, silent: Int32) {
      let (silent, port) = try listener()
      try hosts.name("silent", port: port)
      let run = try start(hosts, on: "h1,silent", ["-d", "60s", "http://127.0.0.1:1/"])
      try run.run(withinMs: 60_000) { run.errors.contains("h1: ready, 1 worker") }
      return (run, silent)
    }

    /// Lets the run go on until this many more requests have reached the target.
    private func awaitLoad(_ run: Child, _ target: Served, _ count: Int = 200) throws {
      try run.run(withinMs: 60_000) { try target.count() >= count }
    }

    /// By key, one of them through a jump host; the second time nothing is brought.
    @Test func aFleetIsOneRunAndLeavesOnlyTheProgram() throws {
      let hosts = try SSHHosts("h1", "h2")
      try hosts.name("behind", port: hosts.port(of: "h2"), through: "h1")
      let target = try Served()
      let run = try start(hosts, on: "h1,behind", ["-d", "1s", target.url])
      #expect(try run.awaitEnd() == Child.Ending(code: 0), "\(run.errors)")
      let result = try Measured(run.output)
      result.expectConservation()
      #expect(try target.count() == result.sent, "\(run.errors)")
      #expect(result.sent > 0)
      let workers = try #require(result["workers"] as? [[String: Any]])
      #expect(Set(workers.compactMap { $0["host"] as? String }) == ["h1", "behind"])
      try hosts.expectClean()
      let programs = hosts.cached(on: "h1")
      #expect(programs.count == 1)
      #expect(hosts.cached(on: "h2") == programs)
      #expect(run.errors.contains("getting the program"), "\(run.errors)")

      let doctor = try Squall.ended(["fleet", "doctor", "--on", "h1,behind"] + hosts.flags)
      #expect(doctor.ending == Child.Ending(code: 0), "\(doctor.output)\(doctor.errors)")
      #expect(doctor.output.contains("h1"), "\(doctor.output)")
      #expect(!doctor.errors.contains("getting the program"), "\(doctor.errors)")

      let list = try hosts.folder.file("hosts.txt", "# ours\nh1\nbehind  # far\n")
      let clean = try Squall.ended(["fleet", "clean", list] + hosts.flags)
      #expect(clean.ending == Child.Ending(code: 0), "\(clean.errors)")
      #expect(clean.output == "h1: 1 file removed\nbehind: 1 file removed\n")
      #expect(hosts.cached(on: "h1").isEmpty && hosts.cached(on: "h2").isEmpty)
      try hosts.expectClean()
    }

    @Test func aDeadHostIsNamedAndCanBeDoneWithout() throws {
      let hosts = try SSHHosts("h1")
      try hosts.name("dead", port: closedPort())
      let target = try Served()
      let refused = try start(hosts, on: "h1,dead", ["-d", "1s", target.url])
      #expect(try refused.awaitEnd() == Child.Ending(code: 1), "\(refused.errors)")
      #expect(refused.errors.contains("dead failed: ssh does not get there"), "\(refused.errors)")
      #expect(refused.errors.contains("1 of 2 hosts can take part"), "\(refused.errors)")
      #expect(refused.output.isEmpty)
      try hosts.expectClean()

      let run = try start(hosts, on: "h1,dead", ["-d", "1s", "--min-hosts", "1", target.url])
      #expect(try run.awaitEnd() == Child.Ending(code: 0), "\(run.errors)")
      let result = try Measured(run.output)
      #expect(try target.count() == result.sent)
      try hosts.expectClean()
    }

    @Test func aHostThatIsKilledInMidRunIsNamedAndTheOthersGoOn() throws {
      let hosts = try SSHHosts("h1", "h2")
      let target = try Served()
      let run = try start(hosts, on: "h1,h2", ["-d", "4s", target.url])
      try awaitLoad(run, target)
      hosts.kill("h2")
      #expect(try run.awaitEnd() == Child.Ending(code: 6), "\(run.errors)")
      #expect(run.errors.contains("fleet: h2 lost: "), "\(run.errors)")
      let result = try Measured(run.output)
      #expect(result["verdict.incomplete"] as? Bool == true)
      // What the host had not delivered is missing from the counts.
      #expect(try target.count() >= result.sent - result.inFlight)
      try hosts.expectClean()
    }

    /// Only the way to it is gone: nobody tells its worker but the end of its input.
    @Test func aHostWhoseConnectionDropsIsLeftClean() throws {
      let hosts = try SSHHosts("h1", "h2")
      let target = try Served()
      let run = try start(hosts, on: "h1,h2", ["-d", "3s", target.url])
      try awaitLoad(run, target)
      hosts.cutConnections(of: "h2")
      #expect(try run.awaitEnd() == Child.Ending(code: 6), "\(run.errors)")
      #expect(run.errors.contains("fleet: h2 lost: "), "\(run.errors)")
      try hosts.expectClean()
    }

    @Test func anInterruptedFleetReportsAndLeavesNothing() throws {
      let hosts = try SSHHosts("h1", "h2")
      let target = try Served()
      let run = try start(hosts, on: "h1,h2", ["-d", "60s", target.url])
      try awaitLoad(run, target)
      run.signalGroup(SIGINT)
      #expect(try run.awaitEnd() == Child.Ending(code: 130), "\(run.errors)")
      let result = try Measured(run.output)
      result.expectConservation()
      #expect(result["interrupted"] as? Bool == true)
      #expect(try target.count() == result.sent, "\(run.errors)")
      try hosts.expectClean()
    }

    @Test func aFleetWhoseMasterIsKilledEndsByItself() throws {
      let hosts = try SSHHosts("h1", "h2")
      let target = try Served()
      let run = try start(hosts, on: "h1,h2", ["-d", "60s", target.url])
      try awaitLoad(run, target)
      run.signal(SIGKILL)
      try hosts.expectClean()
    }

    /// As a terminal that is closed does it, `kill`, and somebody who has no patience.
    @Test(
      arguments: [
        ([SIGHUP], nil), ([SIGTERM], 143), ([SIGINT, SIGINT], 130),
      ] as [([Int32], Int32?)])
    func aFleetThatIsToldToEndLeavesNothing(signals: [Int32], code: Int32?) throws {
      let hosts = try SSHHosts("h1", "h2")
      let target = try Served()
      let run = try start(hosts, on: "h1,h2", ["-d", "60s", target.url])
      try awaitLoad(run, target)
      for number in signals { run.signalGroup(number) }
      try run.awaitEnd()
      if let code { #expect(run.ending == Child.Ending(code: code), "\(run.errors)") }
      try hosts.expectClean()
    }

    /// What had arrived by then is no program, and is not kept.
    @Test func aFleetThatIsKilledWhileItBringsTheProgramLeavesNoPieceOfIt() throws {
      let hosts = try SSHHosts("h1", "h2")
      let run = try start(hosts, on: "h1,h2", ["-d", "60s", "http://127.0.0.1:1/"])
      try run.run(withinMs: 60_000) { run.errors.contains("getting the program") }
      run.signal(SIGKILL)
      try hosts.expectClean()
    }

    /// Only the way there is gone, and nobody has counted anything yet.
    @Test func aFleetWhoseConnectionsDropWhileItPreparesEndsAndLeavesNothing() throws {
      let hosts = try SSHHosts("h1")
      let (run, silent) = try startWithASilentHost(hosts)
      defer { close(silent) }
      hosts.cutConnections(of: "h1")
      #expect(try run.awaitEnd() == Child.Ending(code: 1), "\(run.errors)")
      #expect(run.errors.contains("fleet: h1 lost: "), "\(run.errors)")
      try hosts.expectClean()
    }

    @Test func aFleetThatIsInterruptedWhileItPreparesLeavesNothing() throws {
      let hosts = try SSHHosts("h1")
      let (run, silent) = try startWithASilentHost(hosts)
      defer { close(silent) }
      run.signalGroup(SIGINT)
      #expect(try run.awaitEnd() == Child.Ending(code: 130), "\(run.errors)")
      #expect(run.output.isEmpty)
      try hosts.expectClean()
    }

    @Test func whatCannotBeAFleetIsRefused() throws {
      for (arguments, sentence) in [
        (["run", "--on", "h1"], "name the server to load"),
        (["run", "--on", "h1,h1", "http://h/"], "named twice"),
        (["run", "--on=-oProxyCommand=x", "http://h/"], "is no host for ssh"),
        (["run", "/does/not/exist", "http://h/"], "cannot be read"),
        (["run", "--on", "h1", "--min-hosts", "2", "http://h/"], "outside of 1 to 1"),
        (["run", "--on", "h1", "--host", "h2", "http://h/"], "hosts of the fleet are --on"),
        (["doctor"], "name a file of hosts"),
      ] {
        let child = try Squall.ended(["fleet"] + arguments)
        #expect(child.ending == Child.Ending(code: 2), "\(arguments): \(child.errors)")
        #expect(child.errors.contains(sentence), "\(arguments): \(child.errors)")
      }
    }
  }
}
