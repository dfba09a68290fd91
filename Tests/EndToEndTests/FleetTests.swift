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

    // MARK: On a network of their own

    /// A line of the program's to standard error, after which the load goes.
    private static let opening = "the load starts on"

    private func start(
      _ hosts: SSHHosts, across network: Network, on names: [String], _ arguments: [String]
    ) throws -> Child {
      try network.start(
        on: "desk",
        [Squall.path, "fleet", "run", "--on", names.joined(separator: ",")] + hosts.flags
          + ["--workers", "1", "--format", "json", "--lease", "2s", "--interval", "250ms"]
          + ["--heartbeat-interval", "200ms"] + Cluster.gentle + arguments,
        environment: ["SQUALL_BACKEND": "auto"])
    }

    private func target(on network: Network) throws -> Child {
      let target = try network.start(on: "target", [Squall.path, "serve", "--host", "0.0.0.0"])
      _ = try target.firstLine()
      return target
    }

    /// What a target on the network counted, to its end.
    private func finalCount(of target: Child) throws -> Int {
      target.signal(SIGTERM)
      try target.awaitEnd()
      let last = try #require(target.output.split(separator: "\n").last)
      let counts = try JSONSerialization.jsonObject(with: Data(last.utf8)) as? [String: Any]
      return try #require(counts?["requests"] as? Int)
    }

    /// One is reached through another, one may make no ring, one is not there, and one loses its power in
    /// mid-run: nothing of it ends a connection, there is only silence.
    @Test(
      .enabled(
        if: Network.canBeMade && Repository.canConfine,
        "network namespaces are for root, and python3-seccomp is needed"))
    func aFleetOfUnequalHostsGoesOnWithoutThoseThatFail() throws {
      let network = try Network(
        ["desk", "near", "plain", "dying", "dead", "target"], ["near", "behind", "target"])
      let hosts = try SSHHosts(
        ["near", "plain", "dying", "behind"], on: network, confined: ["plain"])
      // The one switch has no way to the other but the jump host.
      try hosts.name("behind", port: 22, through: "near")
      try hosts.name("dead", port: 22)
      let target = try target(on: network)
      let url = "http://\(try network.commonAddress(of: "target")):8080/"
      let run = try start(
        hosts, across: network, on: ["near", "plain", "dying", "dead", "behind"],
        ["-d", "5s", "--min-hosts", "4", url])
      try run.run(withinMs: 120_000) { run.errors.contains(Self.opening) }
      try network.cutPower(of: "dying")
      hosts.kill("dying")
      #expect(try run.awaitEnd(withinMs: 60_000) == Child.Ending(code: 6), "\(run.errors)")
      #expect(run.errors.contains("dead failed: ssh does not get there"), "\(run.errors)")
      #expect(run.errors.contains("epoll instead of io_uring"), "\(run.errors)")
      let result = try Measured(run.output)
      #expect(result["verdict.incomplete"] as? Bool == true)
      let workers = Set(result.workers.compactMap { $0["host"] as? String })
      #expect(workers.isSuperset(of: ["near", "plain", "behind"]), "\(workers)")
      // What the host without power had not delivered is missing from the counts.
      #expect(try finalCount(of: target) >= result.sent - result.inFlight)
      try hosts.expectClean()
      for host in ["near", "plain", "behind"] {
        #expect(try network.processes(on: host).count == 1, "\(host): more than its sshd")
      }
    }

    /// From nothing to load, and again with the program there. The times are printed; what else this machine
    /// does is in them, and so the limit is not the goal.
    @Test(.enabled(if: Network.canBeMade, "network namespaces are for root only"))
    func twentyHostsAreSoonUnderLoad() throws {
      let names = (1...20).map { "h\($0)" }
      let network = try Network(["desk", "target"] + names)
      let hosts = try SSHHosts(names, on: network)
      let target = try target(on: network)
      let url = "http://\(try network.address(of: "target")):8080/"
      var sent = 0
      for time in ["from nothing", "with the program there"] {
        let run = try start(
          hosts, across: network, on: names, ["-d", "1s", "-R", "4000", "-c", "40", url])
        try run.run(withinMs: 120_000) { run.errors.contains(Self.opening) }
        print("20 hosts \(time): load after \((monotonicNs() - run.startedNs) / 1_000_000) ms")
        #expect(try run.awaitEnd(withinMs: 60_000) == Child.Ending(code: 0), "\(run.errors)")
        let result = try Measured(run.output)
        result.expectConservation()
        #expect(Set(result.workers.compactMap { $0["host"] as? String }) == Set(names))
        sent += result.sent
        try hosts.expectClean()
      }
      #expect(try finalCount(of: target) == sent)
      #expect(names.allSatisfy { hosts.cached(on: $0).count == 1 })
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
