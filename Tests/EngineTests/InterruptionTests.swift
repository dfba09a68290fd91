import Glibc
import SquallEngine
import Testing

/// A signal that arrives in a call is no failure of what was called.
@Suite struct InterruptionTests {
  @Test func anInterruptedCallIsMadeAgain() {
    var results = [-1, -1, 7]
    let result = uninterrupted {
      errno = EINTR
      return results.removeFirst()
    }
    #expect(result == 7)
    #expect(results.isEmpty)
  }

  @Test func anotherFailureIsNotMadeAgain() {
    var count = 0
    let result = uninterrupted {
      count += 1
      errno = ECONNRESET
      return -1
    }
    #expect(result == -1)
    #expect(errno == ECONNRESET)
    #expect(count == 1)
  }
}
