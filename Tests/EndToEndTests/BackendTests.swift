import CRefusal
import Foundation
import Testing

/// What drives the sockets where io_uring is forbidden, and where epoll is asked for.
extension EndToEnd {
  struct BackendTests {
    /// Runs `work` on a thread that may make no ring, and neither may what it starts.
    private func withoutRings<Result: Sendable>(
      old: Bool, _ work: @escaping @Sendable () throws -> Result
    ) throws -> Result {
      let outcome = Outcome<Result>()
      let thread = Thread {
        outcome.settle(
          Swift.Result {
            let error = refuse_rings(old)
            try #require(error == 0, "seccomp: errno \(-error)")
            return try work()
          })
      }
      thread.start()
      return try outcome.awaited()
    }

    /// Under the seccomp profile that containers get by default; also under one of before Linux 5.11.
    @Test(arguments: [false, true]) func whereIoUringIsForbiddenItIsEpoll(old: Bool) throws {
      let child = try withoutRings(old: old) {
        let child = try Squall.ended(
          ["run", "-n", "20000", "-c", "40", "-w", "2", "--format", "json"],
          environment: ["SQUALL_BACKEND": "auto"])
        return (child.ending, child.output, child.errors)
      }
      #expect(child.0 == Child.Ending(code: 0), "\(child.2)")
      #expect(child.2.contains("epoll instead of io_uring"), "\(child.2)")
      let result = try Measured(child.1)
      #expect(result["backend"] as? String == "epoll")
      #expect(result.ok == 20_000)
      #expect(result.sent == 20_000)
    }

    @Test func whatIsAskedForAndForbiddenIsSaid() throws {
      let child = try withoutRings(old: false) {
        let child = try Squall.ended(["run", "-n", "1", "--backend", "io_uring"])
        return (child.ending, child.errors)
      }
      #expect(child.0 == Child.Ending(code: 1), "\(child.1)")
      #expect(child.1.contains("io_uring is forbidden"), "\(child.1)")
      let doctor = try withoutRings(old: false) {
        let child = try Squall.ended(["doctor"])
        return (child.ending, child.output)
      }
      #expect(doctor.0 == Child.Ending(code: 0), "\(doctor.1)")
      #expect(doctor.1.contains("epoll"))
    }

    @Test func aWordThatIsNoBackendIsRefused() throws {
      for (arguments, environment) in [
        (["--backend", "kqueue"], [:]), ([], ["SQUALL_BACKEND": "kqueue"]),
      ] as [([String], [String: String])] {
        let child = try Squall.ended(["run", "-n", "1"] + arguments, environment: environment)
        #expect(child.ending == Child.Ending(code: 2), "\(child.errors)")
        #expect(child.errors.contains("none of auto, io_uring, epoll"), "\(child.errors)")
      }
    }

    /// Every way of bytes and of answering, over epoll at both ends: what was sent is what arrived.
    @Test(arguments: [
      ["-n", "6000", "-c", "60"], ["-n", "4000", "-c", "10", "--pipeline", "8"],
      ["-n", "1500", "-c", "20", "--no-keepalive"], ["-R", "3000", "-n", "2000", "--spin"],
    ])
    func overEpollEveryRequestArrives(load: [String]) throws {
      let target = try Served(["--backend", "epoll"])
      let child = try Squall.ended(
        ["run", "-w", "2", "--backend", "epoll", "--format", "json"] + load
          + [target.url + "?size=40k"])
      #expect(child.ending == Child.Ending(code: 0), "\(child.errors)")
      let result = try Measured(child.output)
      #expect(result["backend"] as? String == "epoll")
      #expect(result.ok == (Int(load[load.firstIndex(of: "-n")! + 1])))
      #expect(try target.count() == result.sent)
    }
  }
}

/// What a thread came to, for the one that waits for it.
private final class Outcome<Value: Sendable>: @unchecked Sendable {
  private let lock = NSCondition()
  private var result: Result<Value, any Error>?

  func settle(_ result: Result<Value, any Error>) {
    lock.lock()
    self.result = result
    lock.signal()
    lock.unlock()
  }

  func awaited() throws -> Value {
    lock.lock()
    defer { lock.unlock() }
    while true {
      if let result { return try result.get() }
      lock.wait()
    }
  }
}
