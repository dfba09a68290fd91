import SquallNode
import Testing

/// A fleet's hosts, without ssh.
struct FleetTests {
  private static let program = Array("\0GLIBC_2.17\0printf\0GLIBC_2.34\0GLIBC_2.4\0".utf8)
  private static let cargo = Cargo(bytes: program, architecture: "x86_64")
  private static let work = HostSession.Job.work(token: "secret", arguments: ["--workers", "1"])

  private func session(_ job: HostSession.Job = work) throws -> HostSession {
    var session = HostSession(host: try FleetHost("h1"), job: job, cargo: Self.cargo)
    #expect(session.handle(.opened) == [])
    #expect(session.state == .connecting)
    return session
  }

  @Test(arguments: [
    "h1", "user@h1", "h1:2222", "ssh://user@h1:22", "::1", "[::1]:22", "a-b.c_d",
    "user@fe80::1%eth0",
  ])
  func aHostIsNamedAsForSsh(text: String) throws {
    #expect(try FleetHost(text).name == text)
  }

  @Test(arguments: [
    "", "-oProxyCommand=x", "u@-h", "h1:", "h1:0", "h1:70000", "h 1", "h1;ls", "@h1", "h'1", "$h",
    "a/b",
  ])
  func whatIsNoHostIsRefused(text: String) {
    #expect(throws: Complaint.self) { try FleetHost(text) }
  }

  @Test func aListHasOneHostALineAndRemarks() throws {
    let hosts = try FleetHost.list("# all\n\nh1\n  user@h2:22 # far\r\n", of: "f")
    #expect(hosts.map(\.name) == ["h1", "user@h2:22"])
    for text in ["", "# none\n", "h1 h2\n", "h1\nh1\n"] {
      #expect(throws: Complaint.self) { try FleetHost.list(text, of: "f") }
    }
    let many = (1...200).map { "h\($0)" }
    #expect(try FleetHost.list(many).count == 200)
    #expect(throws: Complaint.self) { try FleetHost.list(many + ["h201"]) }
  }

  @Test func theNewestVersionThatAProgramAsksForCounts() {
    func newest(_ text: String) -> String? {
      LibraryVersion.newest(in: Array(text.utf8))?.description
    }
    #expect(newest("\0GLIBC_2.17\0GLIBC_2.34\0GLIBC_2.4\0") == "2.34")
    #expect(newest("GLIBC_2.99 \0GLIBC_2.x\0GLIBC_PRIVATE\0GLIBC_2.3.4\0") == "2.3")
    #expect(newest("\0GLIBC_2.") == nil)
    #expect(newest("") == nil)
  }

  /// It passes through any login shell in single quotes.
  @Test func theScriptHasNothingThatAShellCouldTurn() {
    for job in [Self.work, .doctor, .clean] {
      let command = RemoteScript.command(for: job, cargo: Self.cargo)
      #expect(command.hasPrefix("exec /bin/sh -c '") && command.hasSuffix("'"))
      let script = command.dropFirst("exec /bin/sh -c '".count).dropLast()
      #expect(!script.contains { "'\\!\n".contains($0) }, "\(script)")
      #expect(!script.contains("secret"))
    }
  }

  @Test func aHostWithTheProgramGetsTheTokenAndBecomesReady() throws {
    var session = try session()
    #expect(session.handle(.said("Allocated port 41234 for remote forward to 127.0.0.1:5")) == [])
    #expect(session.handle(.line("some start-up file's greeting")) == [])
    #expect(
      session.handle(.line("squall-fleet here x86_64 cached glibc 2.36"))
        == [.write("work 41234\nsecret\n")])
    #expect(session.handle(.said("worker: joined the master at 127.0.0.1:41234")) == [])
    #expect(session.handle(.said("note: epoll")) == [.tell("note: epoll")])
    _ = session.handle(.ready(workers: 4))
    #expect(session.state == .ready(workers: 4))
    _ = session.handle(.delivered)
    _ = session.handle(.ended(code: 0))
    #expect(session.state == .left)
  }

  @Test func theProgramIsBroughtWhereItIsMissing() throws {
    var session = try session(.doctor)
    #expect(
      session.handle(.line("squall-fleet here x86_64 absent glibc 2.34"))
        == [.write("bring \(Self.program.count)\n"), .writeCargo])
    #expect(session.state == .bringing)
    #expect(session.handle(.line("squall-fleet brought")) == [.write("examine 0\n")])
    _ = session.handle(.line("{}"))
    #expect(session.output == "{}\n")
    _ = session.handle(.ended(code: 1))
    #expect(session.state == .left)
  }

  /// The two come by different ways.
  @Test func theTunnelsPortMayComeAfterTheHostsFirstLine() throws {
    var session = try session()
    #expect(session.handle(.line("squall-fleet here x86_64 cached glibc 2.36")) == [])
    #expect(
      session.handle(.said("Allocated port 7 for remote forward to 127.0.0.1:5"))
        == [.write("work 7\nsecret\n")])
    var refused = try self.session()
    _ = refused.handle(.line("squall-fleet here x86_64 cached glibc 2.36"))
    #expect(
      refused.handle(.said("Warning: remote port forwarding failed for listen port 0"))
        == [.closeInput])
    #expect(refused.words.contains("AllowTcpForwarding"))
  }

  @Test(arguments: [
    ("squall-fleet here aarch64 absent glibc 2.36", "aarch64"),
    ("squall-fleet here x86_64 absent glibc 2.31", "2.31 is older than the 2.34"),
    ("squall-fleet here x86_64 absent", "no glibc"),
  ])
  func aHostThatCannotRunTheProgramIsToldWhy(line: String, words: String) throws {
    var session = try session()
    #expect(session.handle(.line(line)) == [.closeInput])
    #expect(
      session.words.hasPrefix("failed: ") && session.words.contains(words), "\(session.words)")
    _ = session.handle(.ended(code: 0))
    #expect(session.words.contains(words))
  }

  @Test func howAnEndIsToldDependsOnWhenItCame() throws {
    var unreachable = try session()
    _ = unreachable.handle(.said("ssh: connect to host h1 port 22: Connection refused"))
    _ = unreachable.handle(.ended(code: 255))
    #expect(unreachable.words.contains("ssh does not get there: ssh: connect"))

    var missing = try session()
    _ = missing.handle(.said("Allocated port 7 for remote forward to 127.0.0.1:5"))
    _ = missing.handle(.line("squall-fleet here x86_64 cached glibc 2.36"))
    var lost = missing
    var late = missing
    var dismissed = missing
    _ = missing.handle(.said("squall: error while loading shared libraries: libswiftCore.so"))
    _ = missing.handle(.ended(code: 127))
    #expect(missing.words.contains("libswiftCore.so") && missing.words.contains("make install"))

    _ = lost.handle(.ready(workers: 1))
    _ = lost.handle(.ended(code: 255))
    #expect(lost.words == "lost: the connection was cut")

    #expect(late.handle(.tooLate(afterNs: 120_000_000_000)) == [.closeInput])
    #expect(late.words.contains("not ready within"))

    _ = dismissed.handle(.ready(workers: 1))
    #expect(dismissed.handle(.dismissed) == [.closeInput])
    #expect(dismissed.handle(.dismissed) == [])
    _ = dismissed.handle(.ended(code: 255))
    #expect(dismissed.state == .left)
  }

  @Test func theBlockShowsWhatMattersFirstAndFits() throws {
    var picture = HostFleet.Picture()
    picture.hosts = try (1...9).map { number in
      let state: HostSession.State =
        number == 5 ? .failed("no way") : number == 7 ? .bringing : .ready(workers: 2)
      return (try FleetHost("h\(number)"), state, number == 5 ? "failed: no way" : "words")
    }
    let lines = picture.lines(width: 60, height: 6)
    #expect(lines[0] == "9 hosts: 7 ready, 1 getting the program, 1 failed")
    #expect(lines[1] == "  h5  failed: no way")
    #expect(lines[2] == "  h7  words")
    #expect(lines.count == 6 && lines.last == "  and 5 more")
    #expect(picture.lines(width: 12, height: 20).allSatisfy { $0.count <= 12 })
  }

  @Test func oneTableSaysWhatEveryHostHas() throws {
    func output(_ verdict: String, _ remedy: String) -> String {
      #"{"can_measure":true,"findings":[{"name":"backend","value":"epoll","verdict":"good","remedy":""},"#
        + #"{"name":"open files","value":"9","verdict":"\#(verdict)","remedy":"\#(remedy)"}]}"#
    }
    let checkup = FleetCheckup([
      (try FleetHost("h1"), .left, output("caution", "raise it")),
      (try FleetHost("h2"), .left, output("good", "")),
      (try FleetHost("h3"), .failed("no route"), ""),
    ])
    #expect(!checkup.canMeasure)
    let lines = checkup.text.split(separator: "\n").map(String.init)
    #expect(lines[1] == "  h1      epoll     open files")
    #expect(lines[2] == "  h2      epoll     nothing")
    #expect(lines[3] == "  h3      -         no route")
    #expect(checkup.text.contains("    open files 9: raise it"))
  }
}
