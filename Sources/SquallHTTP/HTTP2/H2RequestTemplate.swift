/// What goes out as one request over HTTP/2: its fields in their order, and its body.
package struct H2RequestTemplate: Equatable, Sendable {
  let fields: [FieldEncoder.Field]
  let body: [UInt8]
  /// The request is a HEAD: its response has no body.
  package let expectsNoBody: Bool

  /// - Parameters: as of `RequestTemplate`, by whose rules they are judged. `host` and a Host among
  ///   `headers` become `:authority`. Names go out in small letters, and those that concern an
  ///   HTTP/1 connection are refused (RFC 9113 8.2).
  ///   - scheme: `http` or `https`.
  package init(
    method: String, scheme: String, target: String, host: String,
    headers: [(name: String, value: String)], body: [UInt8], userAgent: String
  ) throws(RequestError) {
    // Its judgement is what is wanted, and the one place for it.
    _ = try RequestTemplate(
      method: method, target: target, host: host, headers: headers, body: body, closes: false,
      userAgent: userAgent)
    let fields = headers.map { (name: $0.name.lowercased(), value: $0.value.trimmed) }
    for (index, field) in fields.enumerated() where Self.isOfConnection(field) {
      throw .connectionField(headers[index].name)
    }
    func value(of name: String) -> String? { fields.first { $0.name == name }?.value }
    var all = [
      (":method", method), (":scheme", scheme), (":authority", value(of: "host") ?? host),
      (":path", target),
    ]
    all += fields.filter { $0.name != "host" }
    if value(of: "user-agent") == nil { all.append(("user-agent", userAgent)) }
    if !body.isEmpty || ["POST", "PUT", "PATCH"].contains(method) {
      all.append(("content-length", String(body.count)))
    }
    self.fields = all.map { FieldEncoder.Field(name: Array($0.utf8), value: Array($1.utf8)) }
    self.body = body
    expectsNoBody = method == "HEAD"
  }

  /// The same request as `rendered`, the bytes of a `RequestTemplate`. Nil when they are none, or hold
  /// a field that HTTP/2 forbids.
  package init?(rendered: [UInt8], scheme: String) {
    let end = Array("\r\n\r\n".utf8)
    guard
      let head = (0..<max(0, rendered.count - 3)).first(where: {
        rendered[$0] == end[0] && Array(rendered[$0..<$0 + 4]) == end
      })
    else { return nil }
    let lines = String(decoding: rendered[..<head], as: UTF8.self)
      .split(separator: "\r\n", omittingEmptySubsequences: false)
    let first = lines[0].split(separator: " ")
    guard first.count == 3 else { return nil }
    var headers: [(name: String, value: String)] = []
    for line in lines.dropFirst() {
      guard let colon = line.firstIndex(of: ":") else { return nil }
      let name = String(line[..<colon])
      guard name.lowercased() != "content-length" else { continue }
      headers.append((name, String(line[line.index(after: colon)...].drop { $0 == " " })))
    }
    do throws(RequestError) {
      try self.init(
        method: String(first[0]), scheme: scheme, target: String(first[1]), host: "",
        headers: headers, body: Array(rendered[(head + 4)...]), userAgent: "squall")
    } catch {
      return nil
    }
  }

  private static func isOfConnection(_ field: (name: String, value: String)) -> Bool {
    let names = ["connection", "keep-alive", "proxy-connection", "upgrade"]
    return names.contains(field.name)
      || field.name == "te" && field.value.lowercased() != "trailers"
  }
}
