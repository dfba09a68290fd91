/// The tables, made from the runs alone.
package struct Tables {
  private let results: Results
  /// The order of the rows.
  private let clients: [String]
  private let reference: String

  package init(_ results: Results, clients: [String]) {
    self.results = results
    self.clients = clients
    // Without squall the floor is what all else is held against.
    let hasSquall = results.runs.contains { $0.client == "squall" && $0.failure == nil }
    reference = hasSquall ? "squall" : "floor"
  }

  /// What fits a terminal: the first tables of each question, and the goals last.
  package func short() -> [Grid] {
    Question.allCases.flatMap { question -> [Grid] in
      guard !results.cells(question).isEmpty else { return [] }
      return Array(grids(question).prefix([.closed, .pacing].contains(question) ? 2 : 1))
    } + [losses(), goals()]
  }

  /// What a document about the cost of a request shows.
  package func cost() -> [Grid] {
    let shown = Question.allCases.flatMap { question -> [Grid] in
      guard !results.cells(question).isEmpty else { return [] }
      switch question {
      case .closed: return Array(grids(question).prefix(2))
      case .tls, .handshake, .http2: return Array(grids(question).prefix(2))
      case .userspace, .syscalls, .wires: return grids(question)
      default: return []
      }
    }
    return shown + [losses(), goals()]
  }

  package func all() -> [Grid] {
    Question.allCases.flatMap { question -> [Grid] in
      results.cells(question).isEmpty ? [] : grids(question)
    } + [losses(), goals()]
  }

  private func grids(_ question: Question) -> [Grid] {
    switch question {
    case .closed:
      [
        matrix(question, .wholeCPUUs), ratios(question, .wholeCPUUs), matrix(question, .cpuUs),
        ratios(question, .cpuUs), matrix(question, .rateHz), matrix(question, .perCPUSecond),
        busy(question),
      ]
    case .nginx, .ordinary, .body, .pipeline, .scaling:
      [
        matrix(question, .cpuUs), ratios(question, .cpuUs), matrix(question, .rateHz),
        busy(question),
      ]
    case .rate, .headroom:
      [
        matrix(question, .cpuUs), ratios(question, .cpuUs), matrix(question, .meanUs),
        matrix(question, .achieved, decimals: 4),
      ]
    case .pacing:
      [
        matrix(question, .pacingP50), matrix(question, .pacingP99),
        matrix(question, .pacingP999), matrix(question, .burstPercent),
      ]
    case .stall, .delay: [truth(question)]
    case .freeze: [freeze()]
    case .count: [matrix(question, .uncounted)]
    case .memory: [matrix(question, .residentMiB), matrix(question, .workerMiB)]
    case .syscalls: [matrix(question, .syscallsPerRequest)]
    case .userspace: [matrix(question, .userUs), matrix(question, .userShare)]
    case .tls, .handshake, .http2:
      [
        matrix(question, .okCPUUs), ratios(question, .okCPUUs), matrix(question, .okHz),
        busy(question, client: .wholeClientBusy, target: .wholeTargetBusy, limit: 90),
      ]
    case .wires: [matrix(question, .okUserUs), matrix(question, .userShare)]
    case .startup: [matrix(question, .firstArrivalMs), matrix(question, .overrunMs)]
    }
  }

  /// Rows that have at least one run of the question.
  private func rows(_ question: Question) -> [String] {
    let present = Set(results.runs.filter { $0.cell.question == question }.map(\.client))
    return clients.filter { present.contains($0) }
  }

  private func matrix(
    _ question: Question, _ metric: Results.Metric, decimals: Int? = nil
  ) -> Grid {
    fill(
      question, title: "\(question.title): \(metric.title)",
      remark: "Median of the rounds, in brackets the lowest and the highest."
    ) { cell, client in
      let values = results.values(cell, client, metric).values.sorted()
      guard let middle = median(values), let low = values.first, let high = values.last else {
        return nil
      }
      let text = decimals.map { fixed(middle, $0) } ?? shown(middle)
      return values.count == 1 || low == high ? text : "\(text) [\(shown(low))…\(shown(high))]"
    }
  }

  private func ratios(_ question: Question, _ metric: Results.Metric) -> Grid {
    fill(
      question, title: "\(question.title): \(metric.title), to \(reference)",
      remark: "Median of the rounds' ratios, in brackets its bootstrap 95 % interval. "
        + "“\(Catalog.again)” is the same program once more: its distance from 1 is noise."
    ) { cell, client in
      if client == reference { return "1" }
      return results.ratio(cell, client, to: reference, metric).map {
        $0.pairCount == 1
          ? fixed($0.value, 2)
          : "\(fixed($0.value, 2)) [\(fixed($0.low, 2))…\(fixed($0.high, 2))]"
      }
    }
  }

  private func busy(
    _ question: Question, client clientMetric: Results.Metric = .clientBusy,
    target targetMetric: Results.Metric = .targetBusy, limit: Double = 95
  ) -> Grid {
    fill(
      question, title: "\(question.title): who was at the limit",
      remark: "Client CPU / target CPU, % of one each; the side at \(Int(limit)) or more was."
    ) { cell, client in
      guard let mine = results.middle(cell, client, clientMetric),
        let its = results.middle(cell, client, targetMetric)
      else { return nil }
      let ours = mine >= limit
      let theirs = its >= limit * Double(cell.question == .scaling ? cell.threads : 1)
      let who = ours && theirs ? "both" : ours ? "client" : theirs ? "target" : "neither"
      return "\(Int(mine))/\(Int(its)) \(who)"
    }
  }

  /// One row a client, one column a cell; a cell without a figure points to the reason.
  private func fill(
    _ question: Question, title: String, remark: String, value: (Cell, String) -> String?
  ) -> Grid {
    let cells = results.cells(question)
    var grid = Grid(title: title, remark: remark, columns: ["client"] + cells.map(\.label))
    for client in rows(question) {
      let texts = cells.map { cell -> String in
        if results.runs(cell, client).isEmpty { return "" }
        if results.isAbsent(cell, client) { return "not here" }
        let marks = results.remarks(cell, client).map { mark($0, in: &grid) }
        let suffix = marks.isEmpty ? "" : " (\(marks.joined(separator: ",")))"
        return (value(cell, client) ?? "–") + suffix
      }
      grid.rows.append([client] + texts)
    }
    return grid
  }

  private func mark(_ note: String, in grid: inout Grid) -> String {
    if let index = grid.notes.firstIndex(of: note) { return "\(index + 1)" }
    grid.notes.append(note)
    return "\(grid.notes.count)"
  }

  private func truth(_ question: Question) -> Grid {
    var grid = Grid(
      title: question.title,
      remark: "The mean must be connections / rate (Little's law); the rate is the target's.",
      columns: [
        "client", "mean claimed, µs", "mean by Little, µs", "claimed / true", "p50, ms",
        "p99, ms",
      ])
    for cell in results.cells(question) {
      for client in rows(question) {
        if results.isAbsent(cell, client) {
          grid.rows.append([client, "not here"] + Array(repeating: "", count: 4))
          continue
        }
        let marks = results.remarks(cell, client).map { mark($0, in: &grid) }
        let suffix = marks.isEmpty ? "" : " (\(marks.joined(separator: ",")))"
        func text(_ metric: Results.Metric) -> String {
          results.middle(cell, client, metric).map(shown) ?? "–"
        }
        let ratio = results.middle(cell, client, .littleRatio).map { fixed($0, 3) } ?? "–"
        grid.rows.append([
          client + suffix, text(.meanUs), text(.littleUs), ratio, text(.p50Ms), text(.p99Ms),
        ])
      }
    }
    return grid
  }

  private func freeze() -> Grid {
    var grid = Grid(
      title: Question.freeze.title,
      remark: "Truth: half of the requests wait for the target, uniformly up to half of the run. "
        + "Where the target was stopped for longer, mean and percentiles are as much higher.",
      columns: ["client", "answered", "mean, ms", "p75, ms", "p99, ms", "stopped, ms"])
    for cell in results.cells(.freeze) {
      let frozenMs = Double(cell.seconds) * 500
      grid.rows.append([
        "(truth)", grouped((cell.rateHz ?? 0) * cell.seconds), shown(frozenMs / 4),
        shown(frozenMs / 2), shown(frozenMs * 0.98), shown(frozenMs),
      ])
      for client in rows(.freeze) {
        if results.isAbsent(cell, client) {
          grid.rows.append([client, "not here", "", "", "", ""])
          continue
        }
        let marks = results.remarks(cell, client).map { mark($0, in: &grid) }
        let suffix = marks.isEmpty ? "" : " (\(marks.joined(separator: ",")))"
        let answered = median(
          results.runs(cell, client).compactMap { $0.claim.map { Double($0.ok) } })
        let mean = results.middle(cell, client, .meanUs).map { shown($0 / 1e3) }
        grid.rows.append([
          client + suffix, answered.map(shown) ?? "–", mean ?? "–",
          results.middle(cell, client, .p75Ms).map(shown) ?? "–",
          results.middle(cell, client, .p99Ms).map(shown) ?? "–",
          median(results.runs(cell, client).compactMap(\.frozenSeconds))
            .map { shown($0 * 1e3) } ?? "–",
        ])
      }
    }
    return grid
  }

  /// Every figure in which another did better than squall by more than the interval.
  package func losses() -> Grid {
    var grid = Grid(
      title: "Where squall lost",
      remark: "squall's figure over the other's, with its interval; smaller is better in all of "
        + "these. A single round has no interval and says less.",
      columns: ["", "to", "ratio", "95 % interval"])
    let metrics: [(Question, Results.Metric)] = [
      (.closed, .wholeCPUUs), (.nginx, .cpuUs), (.ordinary, .cpuUs), (.body, .cpuUs),
      (.pipeline, .cpuUs), (.rate, .cpuUs), (.headroom, .cpuUs), (.pacing, .pacingP99),
      (.memory, .residentMiB), (.syscalls, .syscallsPerRequest), (.userspace, .userUs),
      (.startup, .firstArrivalMs), (.tls, .okCPUUs), (.handshake, .okCPUUs), (.http2, .okCPUUs),
      (.wires, .okUserUs),
    ]
    for (question, metric) in metrics {
      for cell in results.cells(question) {
        for client in rows(question) where client != "squall" && client != Catalog.again {
          guard let ratio = results.ratio(cell, "squall", to: client, metric), ratio.low > 1 else {
            continue
          }
          grid.rows.append([
            "\(question.rawValue), \(cell.label): \(metric.title)", client,
            fixed(ratio.value, 2),
            ratio.pairCount == 1 ? "one round" : "\(fixed(ratio.low, 2))…\(fixed(ratio.high, 2))",
          ])
        }
      }
    }
    if grid.rows.isEmpty { grid.rows.append(["nothing in these runs", "", "", ""]) }
    return grid
  }

  package func goals() -> Grid {
    var grid = Grid(
      title: "Goals",
      remark: "“~”: the interval holds the limit, another run may say otherwise.",
      columns: ["goal", "limit", "measured", "95 % interval", "verdict"])
    for goal in results.goals() {
      let sign = goal.isUpperLimit ? "≤" : "≥"
      let interval = goal.low.flatMap { low in
        goal.high.map { "\(fixed(low, 3))…\(fixed($0, 3))" }
      }
      grid.rows.append([
        goal.name, "\(sign) \(shown(goal.limit)) \(goal.unit)".trimmed,
        goal.value.map { goal.unit == "×" ? fixed($0, 3) : shown($0) } ?? "–", interval ?? "",
        goal.verdict.rawValue + (goal.isClose ? " ~" : ""),
      ])
    }
    return grid
  }
}
