/// The questions asked. Each has a table of its own; no two share one.
package enum Question: String, Codable, CaseIterable, Sendable {
  case closed, nginx, ordinary, body, pipeline, rate, headroom, pacing, stall, delay, freeze
  case count, memory, syscalls, userspace, startup, scaling
  case tls, handshake, http2, wires

  package var title: String {
    switch self {
    case .closed: "Closed loop, GET of 13 bytes, keep-alive, against the built-in target"
    case .nginx: "Closed loop against nginx"
    case .ordinary: "Closed loop against an ordinary server (Node)"
    case .body: "Closed loop, 16 KiB bodies"
    case .pipeline: "Pipelining, 64 connections"
    case .rate: "Cost at a fixed rate, 64 connections"
    case .headroom: "A rate of 70 % of squall's closed-loop maximum, 64 connections"
    case .pacing: "Pacing error seen by the target"
    case .stall: "Latency truth: 50 ms stall once per 1,000 requests, one connection"
    case .delay: "Latency truth: every answer 10 ms late, 64 connections"
    case .freeze: "Latency truth: target frozen for half of the run, 1,000/s"
    case .count: "Exact counts: told to send so many"
    case .memory: "Resident memory"
    case .syscalls: "System calls per request (a run of its own, counted by perf)"
    case .userspace: "User-space CPU per request (a run of its own, under perf)"
    case .startup: "Start-up: from the command to the first request at the target"
    case .scaling: "Scaling from one CPU to all"
    case .tls: "HTTP/1.1 over TLS 1.3 against nginx"
    case .handshake: "A connection over TLS 1.3 for each request, P-256, against nginx"
    case .http2: "HTTP/2, connections x streams"
    case .wires: "User-space CPU over TLS and HTTP/2 (a run of its own, under perf)"
    }
  }
}

/// One load against one target: what a column of a table is.
package struct Cell: Codable, Hashable, Sendable {
  package var question: Question
  package var target = TargetKind.responder
  package var connections = 64
  package var bodyByteCount = 13
  package var pipeline = 1
  package var wire = Wire.http1
  package var streams = 1
  package var connecting = Connecting.kept
  package var rateHz: Int?
  package var requestCount: Int?
  package var spins = false
  package var threads = 1
  package var seconds = 1

  package init(_ question: Question, target: TargetKind = .responder, connections: Int = 64) {
    self.question = question
    self.target = target
    self.connections = connections
  }

  package var label: String {
    switch question {
    case .closed, .nginx, .ordinary, .body, .syscalls, .userspace, .memory:
      "\(grouped(connections)) conns"
    case .pipeline: "depth \(pipeline)"
    case .rate, .headroom: "\(grouped(rateHz ?? 0))/s"
    case .pacing: "\(grouped(rateHz ?? 0))/s" + (spins ? " spinning" : "")
    case .freeze: "\(seconds) s"
    case .count: "\(grouped(requestCount ?? 0)) requests"
    case .stall, .delay, .startup: "\(grouped(connections)) conns"
    case .scaling: threads == 1 ? "1 CPU" : "\(threads) CPUs"
    case .tls:
      "\(grouped(connections)) conns, "
        + (bodyByteCount == 13 ? "" : "\(bodyByteCount / 1_024) KiB, ") + wire.title
    case .handshake: connecting == .full ? "full" : "resumed"
    case .http2: "\(wire.title), \(target.rawValue), \(connections)x\(streams)"
    case .wires:
      wire.isHTTP2
        ? "\(wire.title), \(connections)x\(streams)"
        : "\(grouped(connections)) conns, \(wire.title)"
    }
  }

  package var targetOptions: TargetOptions {
    var options = TargetOptions()
    switch question {
    case .pacing:
      options.stampsArrivals = true
      options.spins = true
    case .startup: options.stampsArrivals = true
    case .stall:
      options.stallEvery = 1_000
      options.stallMs = 50
    case .delay: options.delayUs = 10_000
    case .http2, .wires: options.speaksTLSAlone = target == .nghttpd && wire.isSecure
    default: break
    }
    return options
  }

  /// Stamps are written from the target's start, so those cells need a fresh one for each run.
  package var needsFreshTarget: Bool { targetOptions.stampsArrivals }

  package func load(port: UInt16, path: String, cpus: [Int], authority: String? = nil) -> Load {
    var load = Load()
    load.wire = wire
    load.streams = streams
    load.connecting = connecting
    load.authority = authority
    load.port = port
    load.path = path
    load.connections = connections
    load.seconds = seconds
    load.pipeline = pipeline
    load.rateHz = rateHz
    load.requestCount = requestCount
    load.cpus = cpus
    load.spins = spins
    return load
  }
}

extension Cell {
  /// Records of before have cells without what was added since.
  package init(from decoder: any Decoder) throws {
    let values = try decoder.container(keyedBy: CodingKeys.self)
    question = try values.decode(Question.self, forKey: .question)
    target = try values.decode(TargetKind.self, forKey: .target)
    connections = try values.decode(Int.self, forKey: .connections)
    bodyByteCount = try values.decode(Int.self, forKey: .bodyByteCount)
    pipeline = try values.decode(Int.self, forKey: .pipeline)
    wire = try values.decodeIfPresent(Wire.self, forKey: .wire) ?? .http1
    streams = try values.decodeIfPresent(Int.self, forKey: .streams) ?? 1
    connecting = try values.decodeIfPresent(Connecting.self, forKey: .connecting) ?? .kept
    rateHz = try values.decodeIfPresent(Int.self, forKey: .rateHz)
    requestCount = try values.decodeIfPresent(Int.self, forKey: .requestCount)
    spins = try values.decode(Bool.self, forKey: .spins)
    threads = try values.decode(Int.self, forKey: .threads)
    seconds = try values.decode(Int.self, forKey: .seconds)
  }
}

/// `12,345`.
package func grouped(_ number: Int) -> String {
  var text = ""
  for (index, digit) in String(abs(number)).reversed().enumerated() {
    if index > 0 && index % 3 == 0 { text.append(",") }
    text.append(digit)
  }
  return (number < 0 ? "-" : "") + String(text.reversed())
}
