/// Rounds of the same loads by the same clients: what is compared runs in one experiment, so that
/// every round has all of it.
package struct Experiment: Sendable {
  package struct Column: Sendable {
    package let cell: Cell
    package let clients: [String]
  }

  package let columns: [Column]
  package let repetitions: Int

  package init(columns: [Column], repetitions: Int) {
    self.columns = columns
    self.repetitions = repetitions
  }

  package init(cells: [Cell], clients: [String], repetitions: Int) {
    columns = cells.map { Column(cell: $0, clients: clients) }
    self.repetitions = repetitions
  }
}

package struct Plan: Sendable {
  package var experiments: [Experiment]

  /// Seconds that starting, connecting, stopping and settling add to a run, as measured.
  private static func overheadSeconds(_ cell: Cell, _ client: String) -> Double {
    let start = client.hasPrefix("Locust") ? 2.5 : client == "k6" ? 1.0 : 0.2
    // perf(1) writes and reads its samples.
    let isSampled = [.userspace, .wires].contains(cell.question)
    let watched = isSampled ? 1.5 : cell.question == .syscalls ? 0.3 : 0
    return start + watched + Double(cell.connections) * 40e-6 + (cell.needsFreshTarget ? 0.15 : 0)
  }

  /// How long this will take when every client named is here.
  package func estimatedSeconds(isHere: (String) -> Bool) -> Double {
    var sum = 0.0
    for experiment in experiments {
      for column in experiment.columns {
        let cell = column.cell
        let seconds = cell.requestCount == nil ? Double(cell.seconds) : 0.3
        let each = column.clients.filter(isHere)
          .reduce(0.0) { $0 + seconds + Self.overheadSeconds(cell, $1) }
        sum += (each + 0.25) * Double(experiment.repetitions)
      }
    }
    return sum
  }

  package func runCount(isHere: (String) -> Bool) -> Int {
    experiments.reduce(0) { sum, experiment in
      experiment.columns.reduce(sum) { sum, column in
        sum + column.clients.count(where: isHere) * experiment.repetitions
      }
    }
  }

  /// Keeps the questions and clients named; nil keeps all.
  package func only(questions: Set<Question>?, clients: Set<String>?) -> Plan {
    Plan(
      experiments: experiments.compactMap { experiment in
        let columns = experiment.columns.compactMap { column -> Experiment.Column? in
          let names = column.clients.filter { clients?.contains($0) ?? true }
          let isAsked = questions?.contains(column.cell.question) ?? true
          return isAsked && !names.isEmpty
            ? Experiment.Column(cell: column.cell, clients: names) : nil
        }
        guard !columns.isEmpty else { return nil }
        return Experiment(columns: columns, repetitions: experiment.repetitions)
      })
  }

  package func repeated(_ repetitions: Int) -> Plan {
    Plan(
      experiments: experiments.map {
        Experiment(columns: $0.columns, repetitions: repetitions)
      })
  }

  /// Under three minutes: what the goals need, against the peers the goals name; those over TLS and
  /// HTTP/2 need as long again, and are asked for by name.
  package static func quick(builtIn: TargetKind) -> Plan {
    let named = ["squall", "floor", "gcannon", "wrk"]
    let closed = [64, 1_024, 4_096].map { connections in
      Experiment.Column(
        cell: Self.closed(builtIn, connections: connections),
        clients: connections == 64 ? named + [Catalog.again] : named)
    }
    // Where a ring gains nothing: expected to be lost.
    let single = Experiment(
      cells: [Cell(.closed, target: builtIn, connections: 1)],
      clients: ["squall", "floor", "epoll", "wrk"], repetitions: 1)
    let pacing = pacings.map { cell in
      Experiment.Column(
        cell: cell, clients: cell.spins ? ["squall", "floor"] : ["squall", "floor", "h2load"])
    }
    return Plan(experiments: [
      Experiment(columns: closed, repetitions: 3), single,
      Experiment(cells: pipelines(builtIn), clients: ["squall", "floor"], repetitions: 1),
      Experiment(cells: [rate(1_000, builtIn)], clients: ["squall", "floor"], repetitions: 3),
      Experiment(columns: pacing, repetitions: 1),
      Experiment(
        cells: [stall(seconds: 2)], clients: ["squall", "wrk", "h2load"], repetitions: 1),
      Experiment(
        cells: counts(builtIn), clients: ["squall", "floor", "h2load", "ab", "hey"],
        repetitions: 1),
      Experiment(cells: memories, clients: ["squall", "wrk"], repetitions: 1),
      Experiment(cells: syscalls(builtIn), clients: ["squall", "wrk"], repetitions: 1),
      Experiment(
        cells: [userspaces(builtIn)[0]], clients: ["squall", "floor", "wrk"], repetitions: 1),
      Experiment(cells: [startup], clients: ["squall", "wrk"], repetitions: 2),
    ])
  }

  /// Up to 35 minutes: every question, every client that is here.
  package static func full(builtIn: TargetKind, cpuCount: Int) -> Plan {
    let loops = ["squall", "floor", "epoll", "gcannon", "wrk", "h2load"]
    let others = [
      "SwiftNIO", "AsyncHTTPClient", "ab", "hey", "oha", "k6", "bombardier", "nighthawk",
    ]
    let locust = ["Locust Fast", "Locust Http"]
    let pacers = [
      "squall", "floor", "epoll", "h2load", "hey", "zrk", "wrk2", "oha", "vegeta", "bombardier",
      "nighthawk",
    ]
    let closed = [1, 16, 64, 256, 1_024, 4_096].map { connections in
      var clients = loops
      if [1, 64, 1_024, 4_096].contains(connections) { clients.append(Catalog.again) }
      if [64, 1_024].contains(connections) { clients += others }
      if connections == 64 { clients += locust }
      return Experiment.Column(
        cell: Self.closed(builtIn, connections: connections), clients: clients)
    }
    var body = Cell(.body, target: builtIn)
    body.bodyByteCount = 16_384
    var freeze = Cell(.freeze)
    freeze.rateHz = 1_000
    freeze.seconds = 10
    let nginx = [64, 1_024].map { Cell(.nginx, target: .nginx, connections: $0) }
    var plan = Plan(experiments: [
      Experiment(columns: closed, repetitions: 5),
      Experiment(
        cells: nginx, clients: ["squall", "floor", "gcannon", "wrk", "h2load", "ab", "hey"],
        repetitions: 5),
      Experiment(
        cells: [Cell(.ordinary, target: .ordinary)],
        clients: ["squall", "floor", "wrk", "h2load", "hey"], repetitions: 5),
      Experiment(
        cells: [body], clients: ["squall", "floor", "epoll", "gcannon", "wrk", "h2load", "hey"],
        repetitions: 5),
      Experiment(
        cells: pipelines(builtIn), clients: ["squall", "floor", "gcannon", "wrk", "h2load"],
        repetitions: 5),
      Experiment(
        cells: [rate(1_000, builtIn), rate(10_000, builtIn)], clients: pacers + ["k6"],
        repetitions: 5),
      Experiment(cells: pacings, clients: pacers, repetitions: 3),
      Experiment(
        cells: [stall(seconds: 2)],
        clients: ["squall", "floor", "gcannon", "wrk", "h2load", "hey", "oha"], repetitions: 3),
      Experiment(
        cells: [Cell(.delay)], clients: ["squall", "floor", "gcannon", "wrk", "h2load", "hey"],
        repetitions: 3),
      Experiment(
        cells: [freeze],
        clients: ["squall", "h2load", "hey", "Locust Fast", "zrk", "wrk2", "oha", "vegeta"],
        repetitions: 1),
      Experiment(
        cells: counts(builtIn),
        clients: ["squall", "floor", "epoll", "h2load", "ab", "hey", "oha", "k6", "bombardier"],
        repetitions: 3),
      Experiment(
        cells: memories,
        clients: ["squall", "floor", "gcannon", "wrk", "h2load", "ab", "SwiftNIO"],
        repetitions: 1),
      Experiment(
        cells: syscalls(builtIn),
        clients: ["squall", "floor", "epoll", "gcannon", "wrk", "h2load", "ab", "hey", "SwiftNIO"],
        repetitions: 3),
      Experiment(
        cells: userspaces(builtIn),
        clients: ["squall", "floor", "epoll", "gcannon", "wrk", "h2load", "ab", "SwiftNIO"],
        repetitions: 1),
      Experiment(
        cells: [startup],
        clients: ["squall", "floor", "gcannon", "wrk", "h2load", "hey", "oha", "k6"],
        repetitions: 3),
      Experiment(
        cells: scalings(builtIn, cpuCount: cpuCount),
        clients: ["squall", "gcannon", "wrk", "h2load", "hey"], repetitions: 3),
    ])
    plan.experiments += overWires
    return plan
  }

  /// TLS and HTTP/2. Those who are asked for what they cannot do say so in their rows.
  private static var overWires: [Experiment] {
    func cell(
      _ question: Question, _ wire: Wire, target: TargetKind = .nginx, connections: Int = 64,
      streams: Int = 1
    ) -> Cell {
      var cell = Cell(question, target: target, connections: connections)
      cell.wire = wire
      cell.streams = streams
      cell.seconds = 2
      return cell
    }
    var tls = [64, 1_024].flatMap { connections -> [Experiment.Column] in
      [
        Experiment.Column(
          cell: cell(.tls, .http1, connections: connections),
          clients: ["squall", "floor", "wrk", "h2load"]),
        Experiment.Column(
          cell: cell(.tls, .https, connections: connections),
          clients: ["squall", Catalog.again, "TLS floor", "wrk", "h2load"]),
      ]
    }
    var body = cell(.tls, .https)
    body.bodyByteCount = 16_384
    tls.append(
      Experiment.Column(
        cell: body, clients: ["squall", "TLS floor", "wrk", "h2load"]))
    var full = cell(.handshake, .https)
    full.connecting = .full
    full.requestCount = 2_000
    var resumed = cell(.handshake, .https)
    resumed.connecting = .resumed
    let http2 = [Wire.h2c, .h2].flatMap { wire in
      [(64, 1), (16, 10), (16, 100)].map { connections, streams in
        cell(.http2, wire, target: .nghttpd, connections: connections, streams: streams)
      } + [cell(.http2, wire, connections: 16, streams: 10)]
    }
    let users = [
      (cell(.wires, .http1), ["squall", "wrk", "h2load"]),
      (cell(.wires, .https), ["squall", "TLS floor", "wrk", "h2load"]),
      (
        cell(.wires, .h2c, target: .nghttpd, connections: 16, streams: 100),
        ["squall", "h2c floor", "h2load"]
      ),
      (
        cell(.wires, .h2, target: .nghttpd, connections: 16, streams: 100), ["squall", "h2load"]
      ),
    ].map { Experiment.Column(cell: $0.0, clients: $0.1) }
    return [
      Experiment(columns: tls, repetitions: 5),
      Experiment(
        cells: [full, resumed], clients: ["squall", "wrk", "h2load"], repetitions: 5),
      Experiment(
        cells: http2, clients: ["squall", "h2c floor", "wrk", "h2load"], repetitions: 5),
      Experiment(columns: users, repetitions: 1),
    ]
  }

  /// Two seconds, so that connecting weighs little in the whole process's CPU.
  private static func closed(
    _ target: TargetKind, connections: Int, _ question: Question = .closed
  ) -> Cell {
    var cell = Cell(question, target: target, connections: connections)
    cell.seconds = 2
    return cell
  }

  /// Made when squall's closed-loop maximum is known.
  package static func headroom(maximumHz: Double, target: TargetKind) -> Experiment {
    var cell = Cell(.headroom, target: target)
    cell.rateHz = max(1_000, Int(maximumHz * 0.7 / 1_000) * 1_000)
    return Experiment(cells: [cell], clients: ["squall", "floor", "h2load"], repetitions: 3)
  }

  private static func rate(_ hz: Int, _ target: TargetKind) -> Cell {
    var cell = Cell(.rate, target: target)
    cell.rateHz = hz
    return cell
  }

  private static func pipelines(_ target: TargetKind) -> [Cell] {
    [1, 16].map { depth in
      var cell = Cell(.pipeline, target: target)
      cell.pipeline = depth
      return cell
    }
  }

  private static var pacings: [Cell] {
    [(1_000, false), (1_000, true), (10_000, false), (10_000, true)].map { rate, spins in
      var cell = Cell(.pacing)
      cell.rateHz = rate
      cell.spins = spins
      return cell
    }
  }

  private static func stall(seconds: Int) -> Cell {
    var cell = Cell(.stall, connections: 1)
    cell.seconds = seconds
    return cell
  }

  private static func counts(_ target: TargetKind) -> [Cell] {
    var cell = Cell(.count, target: target, connections: 50)
    cell.requestCount = 20_000
    return [cell]
  }

  private static var memories: [Cell] {
    [1_000, 10_000].map { connections in
      var cell = Cell(.memory, connections: connections)
      cell.seconds = 2
      return cell
    }
  }

  private static func syscalls(_ target: TargetKind) -> [Cell] {
    [64, 1_024].map { Cell(.syscalls, target: target, connections: $0) }
  }

  private static func userspaces(_ target: TargetKind) -> [Cell] {
    [64, 1_024].map { closed(target, connections: $0, .userspace) }
  }

  private static var startup: Cell { Cell(.startup, connections: 1) }

  private static func scalings(_ target: TargetKind, cpuCount: Int) -> [Cell] {
    [1, cpuCount].map { threads in
      var cell = Cell(.scaling, target: target, connections: 256)
      cell.threads = threads
      cell.seconds = 2
      return cell
    }
  }
}
