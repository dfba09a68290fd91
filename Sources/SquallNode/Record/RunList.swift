internal import SquallLoad
internal import SquallReport

/// The runs of a record as a table, newest first.
package struct RunList: Sendable {
  private let runs: [RecordedRunSummary]

  package init(_ runs: [RecordedRunSummary]) { self.runs = runs }

  package var text: String {
    guard !runs.isEmpty else { return "no runs yet\n" }
    var rows = [["run", "started", "state", "hosts", "ok", "not ok", "load"]]
    for run in runs.reversed() {
      rows.append([
        run.run.hexadecimal, String(rfc3339(run.startedAtNs).prefix(19)) + "Z", run.state.rawValue,
        String(run.hosts), Figures.grouped(run.ok), Figures.grouped(run.notOk),
        run.load,
      ])
    }
    let isNumber = [false, false, false, true, true, true, false]
    let widths = isNumber.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { row in
      let cells = row.indices.map { column in
        isNumber[column]
          ? Columns.right(row[column], widths[column])
          : column == row.count - 1 ? row[column] : Columns.left(row[column], widths[column])
      }
      return cells.joined(separator: "  ") + "\n"
    }.joined()
  }
}
