import SquallCluster
import SquallLoad
import SquallNode
import Synchronization
import Testing

/// One writer, any number of readers, and none of them waits for another.
@Suite struct FeedTests {
  private static let plan = Plan(
    to: .init(url: "http://a/", destinations: [.init(host: "a", port: 80)]),
    sending: .init(
      method: "GET",
      endpoints: [
        .init(name: "/", request: Array("GET / HTTP/1.1\r\n\r\n".utf8), expectsNoBody: false)
      ]), over: .init(4))

  @Test func aNameIsALabelWhateverIsInIt() {
    var plan = Self.plan
    plan.content.endpoints[0].name = "a\"b\\c\nd"
    var ledger = RunLedger(endpointCount: 1)
    ledger.merge(Self.batch(sent: 3))
    let totals = RunTotals(figures: Self.figures(sent: 3), ledger: ledger, plan: plan)
    let text = Exposition(totals).text
    #expect(text.contains(#"squall_requests_total{name="a\"b\\c\nd",outcome="ok"} 0"#))
    #expect(
      text.split(separator: "\n").allSatisfy { $0.hasPrefix("# ") || $0.hasPrefix("squall_") })
  }

  @Test func aDistributionCountsWhatIsBelowEachBound() {
    var histogram = Histogram()
    for durationNs: UInt64 in [1, 16_383, 16_384, 24_575, 24_576, 1 << 35, 1 << 40] {
      histogram.record(durationNs)
    }
    let distribution = RunTotals.Distribution(histogram)
    #expect(RunTotals.Distribution.boundsNs.prefix(3) == [16_384, 24_576, 32_768])
    #expect(distribution.counts.prefix(3) == [2, 4, 5])
    #expect(distribution.counts.suffix(3) == [5, 6, 6])
    #expect(distribution.count == 7)
    #expect(RunTotals.Distribution.boundsNs == RunTotals.Distribution.boundsNs.sorted())
  }

  private static func batch(sent: UInt64) -> Batch {
    var batch = Batch(
      name: BatchName(incarnation: Incarnation(agent: 1, worker: 0, life: 1), sequence: 0),
      firstInterval: 0, lastInterval: 0, phase: .measured, startNs: 0, endNs: 1_000_000_000)
    var endpoint = Batch.Endpoint(index: 0)
    endpoint.counters.sent = sent
    batch.endpoints = [endpoint]
    return batch
  }

  private static func figures(sent: UInt64) -> LiveFigures {
    var ledger = RunLedger(endpointCount: 1)
    ledger.merge(batch(sent: sent))
    let machine = MasterMachine(
      settings: .init(
        build: "test", seed: 1, digests: Digests(hash: { $0 })))
    return LiveFigures(status: machine.status(nowNs: 0), run: 1, plan: plan, ledger: ledger)
  }

  @Test func eachReaderGetsTheNewestAndSkipsWhatItMissed() async {
    let feed = Feed()
    #expect(feed.readerCount == 0)
    let (quick, slow) = (feed.figures(), feed.figures())
    var quickly = quick.makeAsyncIterator()
    for sent in 1...1_000 {
      feed.publish(Self.figures(sent: UInt64(sent)))
      #expect(await quickly.next()?.totals.sent == UInt64(sent))
    }
    var late = feed.figures().makeAsyncIterator()
    #expect(await late.next()?.totals.sent == 1_000, "it begins with what there is")
    feed.end(with: Self.figures(sent: 2_000))
    var slowly: [UInt64] = []
    for await figures in slow { slowly.append(figures.totals.sent) }
    #expect(slowly == [2_000])
    #expect(await quickly.next()?.totals.sent == 2_000)
    #expect(await quickly.next() == nil)
    for await figures in feed.figures() { #expect(figures.totals.sent == 2_000) }
  }

  @Test func aReaderThatGoesIsForgotten() async {
    let feed = Feed()
    let reading = Task {
      for await _ in feed.figures() {}
    }
    while feed.readerCount == 0 { await Task.yield() }
    reading.cancel()
    await reading.value
    #expect(feed.readerCount == 0)
  }
}
