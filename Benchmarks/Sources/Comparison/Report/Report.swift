import Foundation

/// Everything a suite says at its end, made from the raw record alone.
package struct Report {
  private let header: Header
  private let results: Results
  private let tables: Tables
  private let isInterrupted: Bool

  package init(header: Header, runs: [Run], isInterrupted: Bool) {
    self.header = header
    results = Results(runs: runs, seed: header.seed)
    tables = Tables(results, clients: header.clients.map(\.name))
    self.isInterrupted = isInterrupted
  }

  package var goals: [Goal] { results.goals() }

  package var terminal: String {
    (remarks + [""]).joined(separator: "\n") + "\n"
      + tables.short().map(\.text).joined(separator: "\n")
  }

  private var remarks: [String] {
    var lines: [String] = []
    if isInterrupted { lines.append("Interrupted: the tables are of the runs made until then.") }
    if !header.gate.isQuiet {
      let names = header.gate.busiest.joined(separator: ", ")
      lines.append("Contended: the machine was busy when this began (\(names)).")
    }
    let contended = results.runs.count {
      ($0.window?.foreignShare ?? 0) > QuiesceGate.foreignShareMax
    }
    if contended > 0 {
      lines.append(
        "Contended: others used the machine in \(contended) of \(results.runs.count) runs.")
    }
    return lines + (header.stillness ?? []).map(\.sentence)
      + header.placement.remarks.map { "Placement: \($0)." }
  }

  package var markdown: String {
    let machine = header.machine
    let placement = header.placement
    let cpus = { (list: [Int]) in list.map(String.init).joined(separator: ", ") }
    let facts = [
      "Started \(header.startedAt), commit \(header.commit), seed \(header.seed).",
      "\(machine.cpuModel), \(machine.cpuCount) CPUs, Linux \(machine.kernel), governor "
        + "\(machine.governor).",
      "Target on CPU \(cpus(placement.target)), client on CPU \(cpus(placement.client)). "
        + "Built-in target: \(header.builtInTarget.rawValue).",
    ]
    var clients = Grid(
      title: "Clients", columns: ["client", "version", "what to know"])
    for note in header.clients {
      clients.rows.append([
        note.name, note.version, note.remark,
      ])
    }
    let settings = machine.settings.sorted { $0.key < $1.key }
      .map { "- `\($0.key)`: \($0.value)" }.joined(separator: "\n")
    let plots = plots().map { "![\($0.title)](\($0.file))" }.joined(separator: "\n\n")
    return """
      # HTTP clients compared

      \((facts + remarks).joined(separator: "  \n"))

      Made by `\(header.arguments.joined(separator: " "))` from `runs.ndjson` beside this file,
      which holds every run with its command line. How the figures are taken is in
      `Benchmarks/README.md`.

      \(tables.goals().markdown)
      \(plots)

      \(tables.losses().markdown)
      \(tables.all().dropLast(2).map(\.markdown).joined(separator: "\n"))
      \(clients.markdown)
      ## Machine settings

      \(settings)

      """
  }

  /// The figures for a document that explains them: between marks there, written again at will.
  package var cost: String {
    let machine = header.machine
    let facts =
      "Commit \(header.commit), \(header.startedAt), \(machine.cpuModel), \(machine.cpuCount) CPUs, "
      + "Linux \(machine.kernel), `\(header.arguments.joined(separator: " "))`, seed \(header.seed)."
    return ([facts] + remarks + [""]).joined(separator: "  \n") + "\n"
      + tables.cost().map(\.markdown).joined(separator: "\n")
  }

  package static let beginMark = "<!-- written by `compare --write-docs`: begin -->"
  package static let endMark = "<!-- written by `compare --write-docs`: end -->"

  /// The document with what is between its marks replaced; nil when it does not have both.
  package static func replacing(in document: String, with figures: String) -> String? {
    guard let begin = document.range(of: beginMark),
      let end = document.range(of: endMark, range: begin.upperBound..<document.endIndex)
    else { return nil }
    return document[..<begin.upperBound] + "\n\n" + figures + "\n" + document[end.lowerBound...]
  }

  package struct File: Sendable {
    package let title: String
    package let file: String
    package let svg: String
  }

  package func plots() -> [File] {
    closedPlots() + ratioPlots() + pacingPlots()
  }

  private var names: [String] {
    header.clients.map(\.name).filter { $0 != Catalog.again }
  }

  private func closedPlots() -> [File] {
    let cells = results.cells(.closed)
    guard cells.count > 1 else { return [] }
    let series = names.compactMap { name -> Plot.Series? in
      let points = cells.compactMap { cell in
        results.middle(cell, name, .cpuUs).map { (x: Double(cell.connections), y: $0) }
      }
      // A client ten times dearer than the rest would press all others into one line.
      guard let worst = points.map(\.y).max(), worst <= 40 else { return nil }
      return Plot.Series(name: name, points: points)
    }
    let title = "Client CPU per request, by connections"
    return [
      File(
        title: title, file: "cpu-per-request.svg",
        svg: Plot.lines(
          title: title, xTitle: "connections", yTitle: "µs (clients above 40 µs left out)",
          series: series))
    ]
  }

  private func ratioPlots() -> [File] {
    results.cells(.closed).filter { [64, 1_024, 4_096].contains($0.connections) }.map { cell in
      let bars = names.compactMap { name -> Plot.Bar? in
        guard let value = results.middle(cell, name, .cpuUs) else { return nil }
        let all = results.values(cell, name, .cpuUs).values
        return Plot.Bar(name: name, value: value, low: all.min(), high: all.max())
      }
      let title = "Client CPU per request at \(cell.label)"
      return File(
        title: title, file: "cpu-\(cell.connections).svg",
        svg: Plot.bars(
          title: title, subtitle: "µs, logarithmic; whisker: lowest and highest round",
          bars: bars, isLogarithmic: true))
    }
  }

  private func pacingPlots() -> [File] {
    results.cells(.pacing).map { cell in
      let bars = names.compactMap { name in
        results.middle(cell, name, .pacingP99).map { Plot.Bar(name: name, value: $0) }
      }
      let title = "Arrival error p99 at \(cell.label)"
      let suffix = cell.spins ? "-spinning" : ""
      return File(
        title: title, file: "pacing-\(cell.rateHz ?? 0)\(suffix).svg",
        svg: Plot.bars(
          title: title, subtitle: "µs from the schedule, by the target's stamps, logarithmic",
          bars: bars, isLogarithmic: true))
    }
  }
}
