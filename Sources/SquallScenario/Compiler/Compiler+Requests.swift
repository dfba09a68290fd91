internal import SquallHTTP
internal import SquallLoad

/// One request: its bytes, its name, what is asked of the answer and taken from it.
extension Compiler {
  private static let requestKeys = [
    "name", "query", "headers", "json", "form", "text", "body", "multipart", "auth", "capture",
    "check", "until",
    "else",
    "timeout", "redirects",
  ]

  mutating func compileRequest(_ verb: String, _ node: Node) throws(Fault) {
    let fields = try Fields(node, "a request", keys: Self.methods + Self.requestKeys)
    _ = try fields.only(Self.methods)
    guard let url = fields[verb] else { return }
    let method = verb.uppercased()
    let (target, path, origin) = try target(url, query: fields["query"])
    var head = Draft()
    head.literal = Array("\(method) ".utf8)
    try append(target, to: &head)
    let (body, contentType) = try body(fields)
    try appendHead(fields, method: method, origin, body: body, contentType, to: &head)
    let timeoutNs = try fields["timeout"].map { node throws(Fault) in try self.timeoutNs(node) }
    let hopCount =
      try fields["redirects"].map { node throws(Fault) in try redirectCount(node) }
      ?? defaults.redirectCount
    var request = Program.Request(
      endpoint: try endpoint(fields["name"], automatic: "\(method) \(path)", at: url),
      head: .empty, body: .empty, checks: .empty, captures: .empty, otherwise: .proceed,
      expectsNoBody: method == "HEAD", timeoutNs: timeoutNs ?? defaults.timeoutNs,
      isConstant: (head.parts + (body?.parts ?? [])).allSatisfy { $0.kind == .literal },
      readsBody: false, origin: origin)
    request.head = slice(of: head.parts)
    request.body = slice(of: body?.parts ?? [])
    // Captures first: `has` speaks of what they took.
    if let node = fields["capture"] { request.captures = try compileCaptures(node) }
    if hopCount > 0 {
      follow(&request, keepsMethod: method == "GET" || method == "HEAD")
    }
    request.checks = try compileChecks(fields["check"])
    if let until = fields["until"] {
      let count = try compileAwaited(until)
      request.checks.count += UInt32(count)
      request.awaitedCount = UInt8(clamping: count)
    }
    try number(request, at: url)
    let watchCount = request.checks.count + request.captures.count
    let pathCount =
      program.captures[request.captures.indices].count { $0.kind == .json }
      + program.checks[request.checks.indices].count { $0.kind == .json }
    guard watchCount <= Program.watchCountMax, pathCount <= Program.pathCountMax else {
      throw Fault(
        url,
        "a request has at most \(Program.watchCountMax) checks and captures, "
          + "\(Program.pathCountMax) of them JSON")
    }
    guard
      program.captures[request.captures.indices].count(where: { $0.kind == .regex })
        <= Machine.patternCountMax
    else { throw Fault(url, "a request has at most \(Machine.patternCountMax) captures by regex") }
    request.readsBody =
      program.captures[request.captures.indices].contains {
        $0.kind == .json || $0.kind == .between || $0.kind == .regex
      }
      || program.checks[request.checks.indices].contains {
        $0.kind == .json || $0.kind == .contains
      }
    if request.expectsNoBody && request.readsBody {
      throw Fault(url, "an answer to HEAD has no body to check or capture from: use get")
    }
    if let node = fields["else"] {
      switch try node.string("'else'") {
      case "stop user": request.otherwise = .stopUser
      case "next iteration": request.otherwise = .nextIteration
      case "continue": request.otherwise = .proceed
      case let word:
        throw .unknown(
          node, word, "something to do when a check fails",
          known: ["stop user", "next iteration", "continue"])
      }
    }
    guard program.requests.count < Int(UInt16.max) else { throw Fault(node, "too many requests") }
    try emitSend(&request, hopCount: hopCount, until: fields["until"])
    program.requests.append(request)
    guard hopCount > 0 else { return }
    var hops = try self.hops(behind: request, fields, method: method, at: url)
    for index in hops.indices { hops[index].follows = .none }
    program.requests += hops
    guard hopCount > 1 else { return }
    for index in hops.indices { hops[index].follows = request.follows }
    program.requests += hops
  }

  // MARK: Redirects

  /// The slot of addresses that answers lead to. No capture can have its name.
  static let locationName = "(location)"

  /// Takes where the answer leads, last of all that is captured.
  private mutating func follow(_ request: inout Program.Request, keepsMethod: Bool) {
    let slot: UInt16
    if let known = slotIndices[Self.locationName] {
      slot = known
    } else {
      slot = UInt16(program.slots.count)
      slotIndices[Self.locationName] = slot
      usedSlots.insert(slot)
      slotPlaces.append(Place(source: 0, line: 1, column: 1))
      program.slots.append(
        .init(name: Self.locationName, byteCountMax: Program.locationByteCountMax))
    }
    let label = "the address of a redirect is longer than \(Program.locationByteCountMax) bytes"
    program.captures.append(
      Program.Capture(
        kind: .header, slot: slot, first: pooled("location"), label: pooled(label)))
    if request.captures.count == 0 { request.captures.first = UInt32(program.captures.count - 1) }
    request.captures.count += 1
    request.follows = keepsMethod ? .all : .byGet
    request.locationSlot = slot
  }

  /// The request that follows a redirect: a GET, or again a HEAD, under a name of its own. Its answer is
  /// checked and captured from as the first one's would be. Behind it the one to another host, which takes
  /// no credentials along.
  private mutating func hops(
    behind request: Program.Request, _ fields: Fields, method: String, at url: Node
  ) throws(Fault) -> [Program.Request] {
    let method = method == "HEAD" ? method : "GET"
    var hop = request
    hop.isHop = true
    hop.isConstant = false
    hop.body = .empty
    let name = program.endpoints[Int(request.endpoint)].name
    hop.endpoint = try endpoint(nil, automatic: "\(name), redirected", at: url)
    // Numbers of checks are a name's own.
    hop.checks.first = UInt32(program.checks.count)
    program.checks += program.checks[request.checks.indices]
    hop.captures.first = UInt32(program.captures.count)
    program.captures += program.captures[request.captures.indices]
    try number(hop, at: url)
    var hops: [Program.Request] = []
    for origin in [request.origin, nil] {
      var head = Draft()
      head.literal = Array("\(method) ".utf8)
      append(Program.Part(kind: .slot, escape: .target, a: Int64(request.locationSlot)), to: &head)
      try appendHead(fields, method: method, origin, body: nil, nil, to: &head)
      hop.head = slice(of: head.parts)
      hops.append(hop)
    }
    return hops
  }

  /// Numbers what can fail among the checks of the request's name: one number for the same words.
  private mutating func number(_ request: Program.Request, at url: Node) throws(Fault) {
    func number(_ label: Program.Span, _ program: inout Program) throws(Fault) -> UInt8 {
      let words = program.text(label)
      let known = program.endpoints[Int(request.endpoint)].checks
      if let index = known.firstIndex(of: words) { return UInt8(index) }
      guard known.count < Int(Program.ownCheckNumberEnd) else {
        throw Fault(
          url,
          "more than \(known.count) different checks count under one name: give some requests "
            + "another name")
      }
      program.endpoints[Int(request.endpoint)].checks.append(words)
      return UInt8(known.count)
    }
    for index in request.checks.indices {
      program.checks[index].number = try number(program.checks[index].label, &program)
    }
    for index in request.captures.indices {
      program.captures[index].number = try number(program.captures[index].label, &program)
    }
  }

  private mutating func slice(of parts: [Program.Part]) -> Program.Slice {
    let slice = Program.Slice(first: UInt32(program.parts.count), count: UInt32(parts.count))
    program.parts += parts
    return slice
  }

  private mutating func append(_ draft: Draft, to other: inout Draft) throws(Fault) {
    for part in draft.parts { append(part, to: &other) }
    other.literal += draft.literal
  }

  // MARK: Target and name

  /// What stands in the request line, the path as people write it, for the name, and where it goes.
  private mutating func target(
    _ url: Node, query: Node?
  ) throws(Fault) -> (Draft, String, origin: UInt8) {
    var draft = Draft()
    var pieces = try url.pieces("a URL")
    var (origin, shown) = try takeOrigin(&pieces, url) ?? (0, "")
    for piece in pieces {
      switch piece {
      case .literal(let text):
        try checkTarget(text, url)
        shown += text
      case .placeholder(let placeholder): shown += "${\(placeholder.name)}"
      }
    }
    switch pieces[0] {
    case .literal(let text) where text.hasPrefix("/"):
      try append(pieces, .path, to: &draft)
    case .literal:
      throw Fault(url, "the path '\(shown)' does not begin with /: write /\(shown)")
    case .placeholder(let placeholder):
      // A whole target, such as one captured from Location: it is sent as it is.
      append(try part(placeholder, .target), to: &draft)
      try append(Array(pieces.dropFirst()), .path, to: &draft)
    }
    if let query {
      var separator = shown.contains("?") ? "&" : "?"
      for entry in try query.entries("'query'") {
        draft.literal += Array(separator.utf8)
        try append(entry.key, "a query's name", .query, to: &draft)
        draft.literal.append(UInt8(ascii: "="))
        try append(entry.value, "a query's value", .query, to: &draft)
        separator = "&"
      }
    }
    return (draft, String(shown.prefix { $0 != "?" }), origin)
  }

  /// Takes scheme and host off an absolute address, whose host is known before the run; nil when it is a
  /// path. A path follows.
  private mutating func takeOrigin(
    _ pieces: inout [Piece], _ url: Node
  ) throws(Fault) -> (UInt8, shown: String)? {
    var text = ""
    var count = 0
    // Where the environment says the host, it stands first.
    if case .placeholder(let placeholder) = pieces[0], let value = try outside(placeholder),
      value.contains("://")
    {
      text = value
      count = 1
    }
    if count < pieces.count, case .literal(let literal) = pieces[count],
      count == 1 || !literal.hasPrefix("/") && literal.contains("://")
    {
      text += literal
      count += 1
    }
    guard !text.hasPrefix("/"), let scheme = text.firstRange(of: "://") else { return nil }
    let authority = text[scheme.upperBound...].prefix { $0 != "/" && $0 != "?" && $0 != "#" }
    let rest = String(text[authority.endIndex...])
    guard !rest.isEmpty || count == pieces.count else {
      throw Fault(
        url,
        "the host of an address must be known before the run: write it out, with / behind it")
    }
    let target: TargetURL
    do throws(TargetURL.Fault) { target = try TargetURL(String(text[..<authority.endIndex])) } catch
    {
      throw Fault(url, "\(error)")
    }
    guard rest.isEmpty || rest.hasPrefix("/") else {
      throw Fault(url, "the path '\(rest)' does not begin with /: write /\(rest)")
    }
    pieces.replaceSubrange(..<count, with: [.literal(rest.isEmpty ? "/" : rest)])
    let index = try origin(of: target, at: url)
    return (index, index == 0 ? "" : program.origins[Int(index)].url)
  }

  /// What a request line cannot hold (RFC 9112 3.2, RFC 3986 2) has to be written as what it stands for.
  private func checkTarget(_ text: String, _ url: Node) throws(Fault) {
    for character in text {
      guard character.utf8.contains(where: { $0 <= 0x20 || $0 >= 0x7f }) else { continue }
      let coded = character.utf8.map { byte in
        "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
      }.joined()
      throw Fault(url, "a path cannot hold '\(character)' as it is: write \(coded)")
    }
  }

  private mutating func endpoint(
    _ node: Node?, automatic: String, at url: Node
  ) throws(Fault) -> UInt16 {
    var name = automatic
    if let node {
      name = try node.string("'name'")
      guard !name.isEmpty else {
        throw Fault(node, "'name' is empty: say what to count under, or leave it out")
      }
      guard !name.contains("${") else {
        throw Fault(node, "a name groups requests, so nothing in it can vary: take the '${' out")
      }
    }
    let index: UInt16
    if let known = endpointIndices[name] {
      index = known
    } else {
      guard program.endpoints.count < Program.endpointCountMax else {
        throw Fault(url, "more than \(Program.endpointCountMax) names: group requests with name")
      }
      index = UInt16(program.endpoints.count)
      endpointIndices[name] = index
      program.endpoints.append(.init(name: name, tags: []))
    }
    for tag in scope.tags where !program.endpoints[Int(index)].tags.contains(tag) {
      program.endpoints[Int(index)].tags.append(tag)
    }
    return index
  }

  // MARK: Head

  private mutating func appendHead(
    _ fields: Fields, method: String, _ origin: UInt8?, body: Draft?, _ contentType: String?,
    to head: inout Draft
  ) throws(Fault) {
    // Without an origin it goes where the redirect leads.
    let isElsewhere = origin == nil
    var headers = defaults.headers
    if let node = fields["headers"] {
      for header in try self.headers(node) {
        headers.removeAll { $0.name.lowercased() == header.name.lowercased() }
        headers.append(header)
      }
    }
    // Null takes a default away.
    headers.removeAll { $0.value.kind == .null }
    try check(headers, method: method, at: fields.node)
    func has(_ name: String) -> Bool { headers.contains { $0.name.lowercased() == name } }

    head.literal += Array(" HTTP/1.1\r\n".utf8)
    if let origin, !has("host") {
      head.literal += Array("Host: \(program.origins[Int(origin)].hostField)\r\n".utf8)
    } else if isElsewhere {
      head.literal += Array("Host: ".utf8)
      append(Program.Part(kind: .host), to: &head)
      head.literal += Array("\r\n".utf8)
    }
    if !has("user-agent") {
      head.literal += Array("User-Agent: \(surroundings.userAgent)\r\n".utf8)
    }
    if let contentType, !has("content-type") {
      head.literal += Array("Content-Type: \(contentType)\r\n".utf8)
    }
    if let auth = fields["auth"], !isElsewhere {
      guard !has("authorization") else {
        throw Fault(auth, "'auth' contradicts the header Authorization: give one of them")
      }
      try appendAuth(auth, to: &head)
    }
    let own = ["host", "authorization", "cookie"]
    for (name, value) in headers where !isElsewhere || !own.contains(name.lowercased()) {
      head.literal += Array("\(name): ".utf8)
      try append(value, "the header '\(name)'", .header, to: &head)
      head.literal += Array("\r\n".utf8)
    }
    if program.keepsCookies, !has("cookie") { append(Program.Part(kind: .cookies), to: &head) }
    if let body {
      head.literal += Array("Content-Length: ".utf8)
      if body.parts.allSatisfy({ $0.kind == .literal }) {
        let byteCount = body.parts.reduce(0) { $0 + $1.b }
        head.literal += Array("\(byteCount)".utf8)
      } else {
        append(Program.Part(kind: .contentLength), to: &head)
      }
      head.literal += Array("\r\n".utf8)
    } else if ["POST", "PUT", "PATCH"].contains(method) {
      head.literal += Array("Content-Length: 0\r\n".utf8)
    }
    head.literal += Array("\r\n".utf8)
    flush(&head)
  }

  /// The rules for fields live in RequestTemplate; values that are not known yet stand as an x.
  private func check(
    _ headers: [(name: String, value: Node)], method: String, at node: Node
  ) throws(Fault) {
    for (name, value) in headers {
      var text = ""
      for piece in try value.pieces("the header '\(name)'") {
        if case .literal(let literal) = piece { text += literal } else { text += "x" }
      }
      do throws(RequestError) {
        _ = try RequestTemplate(
          method: method, target: "/", host: program.origins[0].hostField, headers: [(name, text)],
          body: [],
          closes: false, userAgent: surroundings.userAgent)
      } catch {
        throw Fault(value, "\(error)")
      }
    }
  }

  private func appendAuth(_ node: Node, to head: inout Draft) throws(Fault) {
    let fields = try Fields(node, "'auth'", keys: ["basic"])
    guard let basic = fields["basic"] else {
      throw Fault(node, "'basic' is missing: write auth: {basic: [name, password]}")
    }
    let words = try basic.elements("'basic'")
    guard words.count == 2 else {
      throw Fault(basic, "'basic' has two words: write basic: [name, password]")
    }
    let name = try resolved(words[0], "the name")
    guard !name.contains(":") else {
      throw Fault(
        words[0],
        "a name with a colon cannot be told from its password: leave the colon out (RFC 7617 2)")
    }
    let text = "\(name):\(try resolved(words[1], "the password"))"
    head.literal += Array("Authorization: Basic \(Base64.text(Array(text.utf8)))\r\n".utf8)
  }

  // MARK: Body

  private mutating func body(_ fields: Fields) throws(Fault) -> (Draft?, contentType: String?) {
    guard let kind = try fields.only(["json", "form", "text", "body", "multipart"]),
      let node = fields[kind]
    else { return (nil, nil) }
    var draft = Draft()
    let contentType: String
    switch kind {
    case "json":
      contentType = "application/json"
      try appendJSON(node, to: &draft)
    case "form":
      contentType = "application/x-www-form-urlencoded"
      for (index, entry) in try node.entries("'form'").enumerated() {
        if index > 0 { draft.literal.append(UInt8(ascii: "&")) }
        try append(entry.key, "a form's name", .form, to: &draft)
        draft.literal.append(UInt8(ascii: "="))
        try append(entry.value, "a form's value", .form, to: &draft)
      }
    case "text":
      contentType = "text/plain; charset=utf-8"
      try append(node, "'text'", .none, to: &draft)
    case "multipart":
      contentType = "multipart/form-data; boundary=\(try appendMultipart(node, to: &draft))"
    default:
      contentType = "application/octet-stream"
      let file = try Fields(node, "'body'", keys: ["file"])
      guard let path = file["file"] else {
        throw Fault(node, "'file' is missing: write body: {file: payload.bin}")
      }
      draft.literal = try bytes(of: path)
    }
    flush(&draft)
    return (draft, contentType)
  }

  /// A form of parts (RFC 7578). Returns the boundary between them.
  private mutating func appendMultipart(
    _ node: Node, to draft: inout Draft
  ) throws(Fault) -> String {
    let start = program.pool.count
    var sections: [Draft] = []
    for entry in try node.entries("'multipart'") {
      var section = Draft()
      let name = Self.quoted(try resolved(entry.key, "a part's name"))
      section.literal = Array("Content-Disposition: form-data; name=\"\(name)\"".utf8)
      if case .mapping = entry.value.content {
        try appendFile(entry.value, to: &section)
      } else {
        section.literal += Array("\r\n\r\n".utf8)
        try append(entry.value, "a part's value", .none, to: &section)
      }
      flush(&section)
      sections.append(section)
    }
    guard !sections.isEmpty else {
      throw Fault(node, "'multipart' is empty: write multipart: {title: x, doc: {file: a.pdf}}")
    }
    // No text holds a hash of itself but by an accident in 2^64.
    let hash = program.pool[start...].reduce(0xcbf2_9ce4_8422_2325 as UInt64) {
      ($0 ^ UInt64($1)) &* 0x100_0000_01b3
    }
    let boundary = "squall-" + String(hash, radix: 16)
    for section in sections {
      draft.literal += Array("--\(boundary)\r\n".utf8)
      try append(section, to: &draft)
      draft.literal += Array("\r\n".utf8)
    }
    draft.literal += Array("--\(boundary)--\r\n".utf8)
    return boundary
  }

  private mutating func appendFile(_ node: Node, to section: inout Draft) throws(Fault) {
    let fields = try Fields(node, "a part", keys: ["file", "name", "type"])
    guard let file = fields["file"] else {
      throw Fault(node, "'file' is missing: write {file: a.pdf, type: application/pdf}")
    }
    let path = try resolved(file, "'file'")
    var name = path.split(separator: "/").last.map(String.init) ?? path
    if let node = fields["name"] { name = try resolved(node, "'name'") }
    var type = "application/octet-stream"
    if let node = fields["type"] { type = try resolved(node, "'type'") }
    guard type.utf8.allSatisfy({ (0x20..<0x7f).contains($0) }) else {
      throw Fault(fields["type"] ?? node, "'type' is not a media type: write application/pdf")
    }
    section.literal += Array(
      "; filename=\"\(Self.quoted(name))\"\r\nContent-Type: \(type)\r\n\r\n".utf8)
    section.literal += try bytes(of: file)
  }

  /// As browsers write names of parts and files (HTML, multipart/form-data encoding).
  private static func quoted(_ text: String) -> String {
    text.unicodeScalars.reduce(into: "") { quoted, scalar in
      switch scalar {
      case "\"": quoted += "%22"
      case "\r": quoted += "%0D"
      case "\n": quoted += "%0A"
      default: quoted.unicodeScalars.append(scalar)
      }
    }
  }

  func bytes(of path: Node) throws(Fault) -> [UInt8] {
    let name = try resolved(path, "'file'")
    let folder = name.hasPrefix("/") ? "" : folders[path.place.source] ?? ""
    guard let bytes = surroundings.file(folder + name) else {
      throw Fault(
        path,
        "the file '\(name)' cannot be read: name one that is there, by its path from this file"
      )
    }
    return bytes
  }
}

/// RFC 4648 4.
enum Base64 {

  /// The four characters of up to three bytes, first lowest.
  @inline(__always)
  static func quad(_ a: UInt8, _ b: UInt8?, _ c: UInt8?) -> UInt32 {
    let bits = UInt32(a) << 16 | UInt32(b ?? 0) << 8 | UInt32(c ?? 0)
    func character(_ shift: UInt32) -> UInt32 { UInt32(letter(UInt8(bits >> shift & 63))) }
    let pad = UInt32(UInt8(ascii: "="))
    let third = b == nil ? pad : character(6)
    let fourth = c == nil ? pad : character(0)
    return character(18) | character(12) << 8 | third << 16 | fourth << 24
  }

  @inline(__always)
  private static func letter(_ value: UInt8) -> UInt8 {
    switch value {
    case 0..<26: UInt8(ascii: "A") + value
    case 26..<52: UInt8(ascii: "a") + value - 26
    case 52..<62: UInt8(ascii: "0") + value - 52
    case 62: UInt8(ascii: "+")
    default: UInt8(ascii: "/")
    }
  }

  static func text(_ bytes: [UInt8]) -> String {
    var result: [UInt8] = []
    for index in stride(from: 0, to: bytes.count, by: 3) {
      let quad = quad(
        bytes[index], index + 1 < bytes.count ? bytes[index + 1] : nil,
        index + 2 < bytes.count ? bytes[index + 2] : nil)
      for shift in stride(from: 0, to: 32, by: 8) {
        result.append(UInt8(truncatingIfNeeded: quad >> UInt32(shift)))
      }
    }
    return String(decoding: result, as: UTF8.self)
  }
}
