/// A host of a fleet, as its user names it for ssh.
package struct FleetHost: Hashable, Sendable {
  /// As it was given: what it is called in messages and in the report.
  package let name: String
  /// What ssh gets: a name of its configuration, or `user@host`.
  let destination: String
  /// Nil for what ssh's configuration says.
  let port: UInt16?

  package static let countMax = 200

  /// `[user@]host[:port]`, an IPv6 address with a port in brackets, with or without `ssh://` before it.
  package init(_ text: String) throws(Complaint) {
    name = text
    var rest = text[...]
    if rest.hasPrefix("ssh://") { rest = rest.dropFirst(6) }
    var user = ""
    if let at = rest.lastIndex(of: "@") {
      user = String(rest[...at])
      rest = rest[rest.index(after: at)...]
    }
    var host = rest
    var portText: Substring?
    if rest.hasPrefix("["), let end = rest.firstIndex(of: "]") {
      host = rest[rest.index(after: rest.startIndex)..<end]
      let behind = rest[rest.index(after: end)...]
      if !behind.isEmpty { portText = behind.hasPrefix(":") ? behind.dropFirst() : "" }
    } else if let colon = rest.firstIndex(of: ":"), colon == rest.lastIndex(of: ":") {
      host = rest[..<colon]
      portText = rest[rest.index(after: colon)...]
    }
    port = portText.flatMap { UInt16($0) }
    let isPlain = { (part: Substring) in
      part.unicodeScalars.allSatisfy { $0.isASCII && $0.value > 0x20 && $0.value != 0x7f }
        && !part.contains { "'\"\\;|&<>()$`*?[]{}/".contains($0) }
    }
    // ssh would take what begins with a dash for an option.
    guard !host.isEmpty, host.first != "-", user.first != "-", user != "@", isPlain(host),
      isPlain(user[...]), portText == nil || (port ?? 0) > 0
    else {
      throw .usage(
        "'\(text)' is no host for ssh: write it as h1, user@h1, h1:2222 or [::1]:2222.")
    }
    destination = user + host
  }

  /// One host a line; what follows a `#` is for people.
  package static func list(_ text: String, of file: String) throws(Complaint) -> [FleetHost] {
    var names: [String] = []
    for line in text.split(whereSeparator: \.isNewline) {
      let words = line.prefix { $0 != "#" }.split(whereSeparator: \.isWhitespace)
      guard let name = words.first else { continue }
      guard words.count == 1 else {
        throw .usage("\(file) names more than one host in a line: '\(line)'.")
      }
      names.append(String(name))
    }
    guard !names.isEmpty else { throw .usage("\(file) names no host: write one in each line.") }
    return try list(names)
  }

  package static func list(_ names: [String]) throws(Complaint) -> [FleetHost] {
    var hosts: [FleetHost] = []
    for name in names {
      let host = try FleetHost(name)
      guard !hosts.contains(host) else { throw .usage("the host \(name) is named twice.") }
      hosts.append(host)
    }
    guard hosts.count <= countMax else {
      throw .usage("\(hosts.count) hosts are more than the \(countMax) that a fleet may have.")
    }
    return hosts
  }

  /// The hosts of a file.
  package static func read(_ file: String) throws(Complaint) -> [FleetHost] {
    guard let text = readText(file) else {
      throw .usage(
        "the file of hosts \(file) cannot be read: give its name, or hosts with --on user@h1.")
    }
    return try list(text, of: file)
  }
}
