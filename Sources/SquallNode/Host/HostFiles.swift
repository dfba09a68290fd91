/// The small text files in which the kernel tells of itself, below a root that a test may choose.
package struct HostFiles: Sendable {
  let root: String

  /// `root` is what stands before `/proc` and `/sys`: nothing on a real host.
  package init(root: String = "") { self.root = root }

  /// The file without its last line break; nil when it cannot be read.
  package func text(_ path: String) -> String? {
    guard var text = readText(root + path) else { return nil }
    while text.last?.isNewline == true { text.removeLast() }
    return text
  }

  /// The numbers of the file, in the order they stand there; nil when it cannot be read.
  package func numbers(_ path: String) -> [UInt64]? {
    text(path).map { text in
      text.split(whereSeparator: \.isWhitespace).compactMap { UInt64($0) }
    }
  }

  package func number(_ path: String) -> UInt64? { numbers(path)?.first }

  /// `0-2,5` of a file, as CPUs are listed; nil when it cannot be read.
  package func list(_ path: String) -> [UInt16]? {
    text(path).map(Self.list)
  }

  package static func list(_ text: String) -> [UInt16] {
    text.split(separator: ",").flatMap { part -> [UInt16] in
      let ends = part.split(separator: "-").compactMap { UInt16($0) }
      guard let first = ends.first, let last = ends.last, first <= last else { return [] }
      return Array(first...last)
    }
  }

  /// A value of a table such as /proc/net/snmp: a line of names, a line of numbers, both beginning
  /// with `group:`.
  package func counter(_ path: String, group: String, name: String) -> UInt64? {
    guard let text = text(path) else { return nil }
    let lines = text.split(separator: "\n").filter { $0.hasPrefix(group + ":") }
      .map { $0.split(separator: " ") }
    guard lines.count >= 2, let column = lines[0].firstIndex(of: name[...]),
      column < lines[1].count
    else { return nil }
    return UInt64(lines[1][column])
  }

  /// Soft and hard value of a line of /proc/self/limits; `UInt64.max` for unlimited.
  package func limit(_ name: String) -> (soft: UInt64, hard: UInt64)? {
    guard
      let line = text("/proc/self/limits")?.split(separator: "\n").first(where: {
        $0.hasPrefix(name)
      })
    else { return nil }
    let words = line.dropFirst(name.count).split(separator: " ").prefix(2)
    let values = words.compactMap { $0 == "unlimited" ? UInt64.max : UInt64($0) }
    return values.count == 2 ? (values[0], values[1]) : nil
  }

  /// Time of all CPUs since the start, in ticks, and the part that other guests of the machine got
  /// while this one was ready to run (proc(5), /proc/stat).
  package var cpuTicks: (all: UInt64, stolen: UInt64)? {
    guard let line = text("/proc/stat")?.split(separator: "\n").first, line.hasPrefix("cpu ") else {
      return nil
    }
    // user nice system idle iowait irq softirq steal; guest time is part of user time.
    let fields = line.split(separator: " ").dropFirst().prefix(8).compactMap { UInt64($0) }
    return fields.count == 8 ? (fields.reduce(0, +), fields[7]) : nil
  }
}
