import ArgumentParser
import SquallNode

/// What both ends of a cluster are told.
struct ClusterOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "File with the secret that master and workers share, readable by its owner only; else the "
        + "environment variable SQUALL_TOKEN.", valueName: "file"))
  var tokenFile: String?

  @Option(
    help: ArgumentHelp(
      "Our certificate and its chain, PEM; on the master also for the web port.", valueName: "file")
  )
  var tlsCert: String?

  @Option(help: ArgumentHelp("The key of --tls-cert, PEM.", valueName: "file"))
  var tlsKey: String?

  @Option(
    help: ArgumentHelp(
      "Certificates that vouch for the other side, PEM; on the master it makes workers show theirs.",
      valueName: "file"))
  var tlsCa: String?

  @Option(help: "What carries statistics: tcp, or udp where datagrams may be lost.")
  var statsTransport: StatsTransport = .tcp

  var files: TransportSecurity.Files {
    TransportSecurity.Files(certificate: tlsCert, key: tlsKey, authority: tlsCa)
  }

  func token() throws -> SharedToken? { try SharedToken.given(file: tokenFile) }
}

/// Times that the master sets for all; a worker takes the flags for Locust's sake.
struct HeartbeatOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("Time between heartbeats, both ways.", valueName: "time"),
    transform: Read.time)
  var heartbeatInterval: UInt64 = 1_000_000_000

  @Option(
    help: ArgumentHelp("Heartbeats in a row that may be missed.", valueName: "n"),
    transform: Read.count)
  var heartbeatLiveness: UInt64 = 3

  @Option(
    help: ArgumentHelp(
      "How long load may go on without a word from the master.", valueName: "time"),
    transform: Read.time)
  var lease: UInt64 = 10_000_000_000

  func fill(_ options: inout RunHost.Options) throws {
    try check()
    options.heartbeatIntervalNs = heartbeatInterval
    options.liveness = UInt8(heartbeatLiveness)
    options.leaseNs = lease
  }

  func check() throws {
    guard (100_000_000...60_000_000_000).contains(heartbeatInterval) else {
      throw Complaint.usage("--heartbeat-interval is a time from 100ms to 60s.")
    }
    guard (2...100).contains(heartbeatLiveness) else {
      throw Complaint.usage("--heartbeat-liveness is a number from 2 to 100.")
    }
    guard lease >= heartbeatInterval * 2, lease <= 3_600_000_000_000 else {
      throw Complaint.usage("--lease is at least two heartbeat intervals and at most 1h.")
    }
  }
}

enum StatsTransport: String, ExpressibleByArgument, CaseIterable {
  case tcp, udp

  var carrier: StatisticsCarrier { self == .udp ? .udp : .tcp }
}
