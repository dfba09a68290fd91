import ArgumentParser
import SquallNode
import SquallTarget

struct Serve: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "The built-in target: small, fast, counts what it receives, faults on request.",
    discussion: """
      GET / answers 13 bytes; so does any other path. The query asks for more:
        ?size=16k ?status=503 ?delay=5ms ?chunked=1 ?close=1 ?stall=50ms&every=1000
      Speaks HTTP/1.1 and, to those who begin with it, HTTP/2; with --tls also over TLS, on one port.
      GET /count: requests fully received so far, by path. GET /fault/NAME misbehaves: reset, close, \
      half, garbage, hang, drip, extra, early.
      --shop: a small shop that judges what it is sent, for scenarios (docs/SCENARIOS.md).
      Prints its address and serves until Ctrl-C, then its counts.
      """)

  @Option(help: "Address to listen on.", transform: Read.host) var host = "127.0.0.1"

  @Option(name: [.customShort("p"), .long], help: "Port to listen on; 0 lets the kernel choose.")
  var port: UInt16 = 8080

  @Option(
    help: ArgumentHelp("A process on each of these CPUs, such as 0,2-3.", valueName: "list"),
    transform: Read.cpuList)
  var cpus: [UInt16]?

  @Flag(help: "Speak TLS 1.2 and 1.3 too, on the same port, with a self-signed certificate.")
  var tls = false

  @Option(
    help: ArgumentHelp("The certificate for --tls and its chain, in PEM.", valueName: "file"))
  var cert: String?

  @Option(help: ArgumentHelp("The key of --cert, in PEM, not encrypted.", valueName: "file"))
  var key: String?

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

  @Flag(
    help: "Be a shop: login, token, items, basket, orders; wrong tokens and bodies are refused.")
  var shop = false

  @Flag(help: "Spin before an answer is due, for delays exact to microseconds.")
  var spin = false

  @OptionGroup var ring: RingOptions

  mutating func run() async throws {
    try await Program.reportingComplaints {
      let serve = self
      try Serving.run(
        host: host, port: port, cpus: cpus, ring: try ring.choice(), identity: try identity()
      ) { options in
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
        if serve.shop { options.shopKey = UInt64.random(in: 1 ... .max) }
      }
    }
  }

  private func identity() throws -> Serving.Identity {
    guard (cert == nil) == (key == nil) else {
      throw Complaint.usage("--cert and --key belong together: give both.")
    }
    guard let cert, let key else { return tls ? .made : .none }
    guard tls else { throw Complaint.usage("--cert and --key are for TLS: add --tls.") }
    return .files(certificate: cert, key: key)
  }
}
