import Glibc
import SquallClient
import SquallEngine
import SquallLoad
import Testing

/// The memory that a worker counts into and its agent reads, with both ends in this process.
struct PageTests {
  private struct Ends: ~Copyable {
    let agent: SharedRegion
    let worker: SharedRegion

    init(setup: [UInt8] = [1, 2, 3], endpointCount: Int = 1) throws {
      let agent = try SharedRegion(setup: setup, endpointCount: endpointCount)
      worker = try SharedRegion(descriptor: dup(agent.descriptor))
      self.agent = agent
    }
  }

  private static let name = BatchName(
    incarnation: Incarnation(agent: 1, worker: 2, life: 3), sequence: 4)

  @Test func theWorkerFindsWhatItIsToDo() throws {
    let ends = try Ends(setup: Array(0...255))
    #expect(ends.worker.setup == Array(0...255))
    #expect(ends.worker.endpointCount == 1)
    #expect(ends.agent.message == "")
    ends.worker.message = String(repeating: "why ", count: 1_000)
    #expect(ends.agent.message == String(repeating: "why ", count: 256))
    let before = ends.agent.pulse.count
    ends.worker.pulse.beat()
    #expect(ends.agent.pulse.count == before + 1)
  }

  @Test func everythingCountedIsInTheBatch() throws {
    let ends = try Ends()
    let page = ends.worker.page(3)
    page[.firstInterval] = 7
    page[.lastInterval] = 9
    page[.startNs] = 100
    page[.endNs] = 200
    page[.opened] = 5
    page[.systemCalls] = 6
    page[.iterationsStarted] = 4
    page[.iterationsAbandoned] = 1
    page[.iterationsDropped] = 2
    page.iterations.record(5_000_000)
    let endpoint = page.endpoint(0)
    endpoint.add(.sent, 10)
    endpoint.add(.bytesSent, 1_000)
    endpoint.addError(.timeout, 2)
    endpoint.addError(.parse, 2)
    endpoint.addMalformation(3)
    endpoint.addMalformation(63)
    for number in [0, 126, 126] as [UInt8] { endpoint.addFailedCheck(number) }
    endpoint.add(.cutShort)
    endpoint.add(.unaskedConnections, 7)
    for text in ["SSH-2.0", String(repeating: "long ", count: 40)] {
      let bytes = Array(text.utf8)
      bytes.withUnsafeBytes { endpoint.keep(.strangeStart, $0) }
    }
    endpoint.addStatus(503)
    endpoint.addStatus(204)
    for durationNs in [0, 1, 100_000, 200_000, UInt64.max] as [UInt64] {
      endpoint.service.record(durationNs)
    }
    let batch = ends.agent.page(3).batch(name: Self.name)
    #expect(batch.name == Self.name)
    #expect((batch.firstInterval, batch.lastInterval) == (7, 9))
    #expect((batch.startNs, batch.endNs) == (100, 200))
    #expect((batch.worker.opened, batch.worker.systemCalls) == (5, 6))
    #expect((batch.iterations.started, batch.iterations.abandoned) == (4, 1))
    #expect(batch.iterations.dropped == 2)
    #expect(batch.iterations.durations.count == 1)
    let counters = batch.endpoints[0].counters
    #expect(counters.errorCount(.check) == 3)
    #expect(counters.checks == [0: 1, 126: 2])
    #expect(counters.sent == 10)
    #expect(counters.bytesSent == 1_000)
    #expect(counters.errorCount(.timeout) == 2)
    #expect(counters.malformations == [3: 1, 63: 1])
    #expect(counters.findings == [.cutShort: 1, .unaskedConnections: 7])
    #expect(counters.samples == [.strangeStart: Array("SSH-2.0".utf8)])
    // 204 is among the five that the histogram has; the others were 200.
    #expect(counters.statuses == [200: 4, 204: 1, 503: 1])
    #expect(batch.endpoints[0].service.count == 5)
    #expect(batch.endpoints[0].service.maxNs == .max)
    #expect(batch.endpoints[0].service.minNs == 0)

    ends.agent.page(3).release()
    let empty = ends.worker.page(3).batch(name: Self.name)
    #expect(empty.endpoints[0].counters == Counters())
    #expect(empty.iterations == Iterations())
    #expect(empty.endpoints[0].service.isEmpty)
    #expect(ends.worker.page(3).published.state == .free)
  }

  /// A worker stopped or killed before the time its page is for.
  @Test func aPageThatEndsBeforeItBeginsIsEmpty() throws {
    let ends = try Ends()
    let page = ends.worker.page(1)
    page[.startNs] = 5_000
    page[.endNs] = 20
    let batch = ends.agent.page(1).batch(name: Self.name)
    #expect(batch.startNs == 5_000)
    #expect(batch.endNs == 5_000)
  }

  @Test func onlyWhatWasCountedIntoIsReadAndCleared() throws {
    let ends = try Ends(endpointCount: 5)
    let page = ends.worker.page(1)
    for round in 1...2 as ClosedRange<UInt64> {
      page.endpoint(3).touch()
      page.endpoint(3).add(.sent, round)
      page.endpoint(3).service.record(1_000_000)
      let batch = ends.agent.page(1).batch(name: Self.name)
      #expect(batch.endpoints.map(\.index) == [0, 3])
      #expect(batch.endpoints[1].counters.sent == round)
      #expect(batch.endpoints[1].service.count == 1)
      ends.agent.page(1).release()
      #expect(ends.agent.page(1).batch(name: Self.name).endpoints.map(\.index) == [0])
    }
  }

  @Test func pagesDoNotTouchEachOther() throws {
    let ends = try Ends()
    for index in 0..<SharedRegion.pageCount {
      let page = ends.worker.page(index)
      page.publish(.open, sequence: UInt64(index) + 40)
      page.endpoint(0).add(.sent, UInt64(index) + 1)
      page.endpoint(0).firstByte.record(1_000_000)
      page.fairness.record(UInt64(index) + 1)
    }
    for index in 0..<SharedRegion.pageCount {
      let page = ends.agent.page(index)
      #expect(page.published.sequence == UInt64(index) + 40)
      #expect(page.published.state == .open)
      let batch = page.batch(name: Self.name)
      #expect(batch.endpoints[0].counters.sent == UInt64(index) + 1)
      #expect(batch.endpoints[0].firstByte.count == 1)
      #expect(batch.fairness.count == 1)
    }
  }

  /// Reads what another thread counts: a closed page is whole, and an open one, which is all that a
  /// killed worker leaves, never says more than was sent.
  @Test func closedPagesAreWholeAndOpenOnesPlausible() throws {
    let ends = try Ends()
    let descriptor = dup(ends.agent.descriptor)
    let rounds: UInt64 = 1_500
    let lot = Lot(descriptor: descriptor, rounds: rounds)
    var thread = pthread_t()
    let argument = Unmanaged.passRetained(lot).toOpaque()
    try #require(
      pthread_create(
        &thread, nil,
        { argument in
          Unmanaged<Lot>.fromOpaque(argument!).takeRetainedValue().count()
          return nil
        }, argument) == 0)
    let page = ends.agent.page(1)
    var closed: UInt64 = 0
    var peeked: UInt64 = 0
    while closed < rounds {
      let (sequence, state) = page.published
      guard state == .closed else {
        let batch = page.batch(name: Self.name)
        let counters = batch.endpoints[0].counters
        peeked += 1
        if page.published == (sequence, state), state == .open {
          #expect(batch.endpoints[0].service.count <= counters.sent)
          #expect(counters.acceptedCount == batch.endpoints[0].service.count)
        }
        continue
      }
      closed += 1
      #expect(sequence == closed)
      let batch = page.batch(name: Self.name)
      let expected = Lot.requestCount(round: closed)
      #expect(batch.endpoints[0].counters.sent == expected)
      #expect(batch.endpoints[0].service.count == expected)
      #expect(batch.endpoints[0].service.sumNs == expected * (expected + 1) / 2 * 1_000)
      page.release()
    }
    pthread_join(thread, nil)
    print("\(peeked) looks at open pages")
  }

  /// The worker's side.
  private final class Lot: Sendable {
    let descriptor: Int32
    let rounds: UInt64

    init(descriptor: Int32, rounds: UInt64) {
      self.descriptor = descriptor
      self.rounds = rounds
    }

    static func requestCount(round: UInt64) -> UInt64 { round &* 7_919 % 300 }

    func count() {
      guard let region = try? SharedRegion(descriptor: descriptor) else { return }
      let page = region.page(1)
      for round in 1...rounds {
        while page.published.state != .free { sched_yield() }
        page.publish(.open, sequence: round)
        let requestCount = Self.requestCount(round: round)
        for index in 0..<requestCount {
          page.endpoint(0).add(.sent, 1)
          page.endpoint(0).service.record((index + 1) * 1_000)
        }
        page.publish(.closed, sequence: round)
      }
    }
  }

  @Test func commandsAndNoticesAreReadAsWritten() {
    let share = Share(
      epoch: 3, position: 1, workerCount: 4, connections: 50_000, requestQuota: .max,
      fromNs: 1 << 40)
    let commands: [Command] = [
      .start(atNs: 5), .share(share, untilNs: .max, validUntilNs: 9), .renew(validUntilNs: 1),
      .stop, .cut, .change(LoadChange(atNs: 7, rateHz: 2.5, connections: .max)),
      .change(LoadChange(atNs: .max, users: 3, spawnHz: 0.5)),
    ]
    for command in commands {
      #expect(command.bytes.count == Command.byteCount)
      #expect(Command(bytes: command.bytes) == command)
    }
    #expect(Command(bytes: Array(repeating: 0xff, count: 64)) == nil)
    #expect(Command(bytes: []) == nil)
    let notices: [Notice] = [
      .ready, .page, .adopted(epoch: 7, sentBefore: .max), .exhausted(epoch: .max), .finished,
      .failed,
    ]
    for notice in notices {
      let words = notice.words
      let bytes = [words.0, words.1, words.2].flatMap { word in
        (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) }
      }
      #expect(Notice(bytes: bytes) == notice)
    }
    #expect(Notice(bytes: Array(repeating: 0, count: 24)) == nil)
  }
}
