import ArgumentParser
import SquallNode
import SquallTarget

struct Serve: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "The built-in target: small, fast, counts what it receives, faults on request.",
    discussion: """
      GET / answers 13 bytes; so does any other path. The query asks for more:
        ?size=16k ?status=503 ?delay=5ms ?chunked=1 ?close=1 ?stall=50ms&every=1000
      GET /count: requests fully received so far, by path. GET /fault/NAME misbehaves: reset, close, \
      half, garbage, hang, drip, extra, early.
      Prints its address and serves until Ctrl-C, then its counts.
      """)

  @Option(help: "Address to listen on.") var host = "127.0.0.1"

  @Option(name: [.customShort("p"), .long], help: "Port to listen on; 0 lets the kernel choose.")
  var port: UInt16 = 8080

  @Option(
    help: ArgumentHelp("A process on each of these CPUs, such as 0,2-3.", valueName: "list"),
    transform: Read.cpuList)
  var cpus: [UInt16]?

  @Option(help: "Answer each request this much later.", transform: Read.time)
  var delay: UInt64 = 0

  @Option(help: "Answer every N-th request (--every) this much later.", transform: Read.time)
  var stall: UInt64 = 0

  @Option(help: "Which requests --stall hits: every N-th of a process.", transform: Read.count)
  var every: UInt64 = 0

  @Option(help: "Requests one process serves at once; the others queue.", transform: Read.count)
  var slots: UInt64 = 0

  @Option(help: "How long a request keeps its slot.", transform: Read.time)
  var serviceTime: UInt64 = 0

  @Option(help: "Answer nothing from this long after the first request on.", transform: Read.time)
  var freezeAt: UInt64 = 0

  @Option(help: "How long nothing is answered.", transform: Read.time)
  var freezeFor: UInt64 = 0

  @Option(
    help: ArgumentHelp(
      "Write the arrival of each request here at the end: u64 nanoseconds, CLOCK_MONOTONIC.",
      valueName: "file"))
  var arrivals: String?

  @Option(help: "Arrivals each process notes at most.", transform: Read.count)
  var arrivalsMax: UInt64 = 1_000_000

  @Flag(help: "Spin before an answer is due, for delays exact to microseconds.")
  var spin = false

  mutating func run() async throws {
    try await Program.reportingComplaints {
      let serve = self
      try Serving.run(host: host, port: port, cpus: cpus) { options in
        options.delayNs = serve.delay
        options.stallNs = serve.stall
        options.stallEvery = serve.every
        options.slotCount = UInt32(clamping: serve.slots)
        options.serviceNs = serve.serviceTime
        options.freezeAfterNs = serve.freezeAt
        options.freezeForNs = serve.freezeFor
        options.arrivalsPath = serve.arrivals
        options.arrivalCountMax = serve.arrivalsMax
        options.spins = serve.spin
      }
    }
  }
}
