internal import SquallLoad
internal import SquallReport

extension HostFleet.Picture {
  /// The hosts' preparation in at most `height` lines of at most `width` characters: how many there are
  /// of each kind, then those that are not ready, then the others.
  package func lines(width: Int, height: Int) -> [String] {
    let kinds: [(String, (HostSession.State) -> Bool)] = [
      ("ready", { if case .ready = $0 { true } else { false } }),
      ("connecting", { $0 == .connecting }), ("getting the program", { $0 == .bringing }),
      ("starting", { $0 == .starting }), ("waiting", { $0 == .waiting }),
      ("failed", { if case .failed = $0 { true } else { false } }),
      ("lost", { if case .lost = $0 { true } else { false } }),
    ]
    let counts = kinds.compactMap { name, isOne in
      let count = hosts.count { isOne($0.state) }
      return count == 0 ? nil : "\(count) \(name)"
    }
    let head =
      "\(hosts.count) \(hosts.count == 1 ? "host" : "hosts"): " + counts.joined(separator: ", ")
    let inOrder =
      hosts.filter { !$0.state.isPending && $0.state.isOver } + hosts.filter(\.state.isPending)
      + hosts.filter { !$0.state.isPending && !$0.state.isOver }
    let room = max(0, height - 2)
    let nameWidth = min(24, inOrder.map(\.host.name.count).max() ?? 0)
    var lines = [Columns.cut(head, max(3, width))]
    for one in inOrder.prefix(room) {
      let line = "  " + Columns.left(one.host.name, nameWidth) + "  " + one.words
      lines.append(Columns.cut(line, max(3, width)))
    }
    if inOrder.count > room { lines.append("  and \(inOrder.count - room) more") }
    return lines
  }
}

/// What `squall doctor` found on each host, in one table.
package struct FleetCheckup {
  private struct Row {
    var name: String
    var backend: String
    var cautions: [(name: String, value: String, remedy: String)]
    /// Why nothing is known, or nothing can be measured there.
    var trouble: String?
  }

  private var rows: [Row] = []

  package init(_ outputs: [(host: FleetHost, state: HostSession.State, output: String)]) {
    rows = outputs.map { host, state, output in
      guard state == .left, let json = try? JSONValue(text: output),
        case .array(let findings)? = json["findings"]
      else {
        let why =
          switch state {
          case .failed(let why), .lost(let why): why
          default: "its squall doctor printed nothing that can be read"
          }
        return Row(name: host.name, backend: "-", cautions: [], trouble: why)
      }
      let all = findings.map { finding in
        (
          name: finding.string("name"), value: finding.string("value"),
          verdict: finding.string("verdict"), remedy: finding.string("remedy")
        )
      }
      return Row(
        name: host.name, backend: all.first { $0.name == "backend" }?.value ?? "-",
        cautions: all.filter { $0.verdict != "good" && $0.verdict != "unknown" }
          .map { ($0.name, $0.value, $0.remedy) },
        trouble: json["can_measure"] == .bool(true) ? nil : "nothing can be measured there")
    }
  }

  /// Whether something can be measured on each of them.
  package var canMeasure: Bool { rows.allSatisfy { $0.trouble == nil } }

  /// A line a host, then each remedy once, with the hosts that it is for.
  package var text: String {
    let nameWidth = max(6, min(24, rows.map(\.name.count).max() ?? 0)) + 2
    var lines = ["  " + Columns.left("host", nameWidth) + Columns.left("backend", 10) + "may spoil"]
    var remedies: [(remedy: String, hosts: [String])] = []
    for row in rows {
      let found =
        row.trouble
        ?? (row.cautions.isEmpty ? "nothing" : row.cautions.map(\.name).joined(separator: ", "))
      lines += Columns.wrapped(
        found, after: "  " + Columns.left(row.name, nameWidth) + Columns.left(row.backend, 10))
      for caution in row.cautions where !caution.remedy.isEmpty {
        let remedy = "\(caution.name) \(caution.value): \(caution.remedy)"
        if let index = remedies.firstIndex(where: { $0.remedy == remedy }) {
          remedies[index].hosts.append(row.name)
        } else {
          remedies.append((remedy, [row.name]))
        }
      }
    }
    for (remedy, hosts) in remedies {
      lines.append("")
      lines += Columns.wrapped(
        hosts.count == rows.count && hosts.count > 1 ? "all hosts" : hosts.joined(separator: ", "),
        after: "  ")
      lines += Columns.wrapped(remedy, after: "    ")
    }
    return lines.joined(separator: "\n") + "\n"
  }
}

extension JSONValue {
  fileprivate func string(_ name: String) -> String {
    guard case .string(let text)? = self[name] else { return "" }
    return text
  }
}
