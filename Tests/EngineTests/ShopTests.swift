import SquallTarget
import Testing

/// The shop of the built-in target: what it takes, and that it refuses the rest.
struct ShopTests {
  private let target: Target
  private let peer: Peer

  init() throws {
    target = try startTarget { $0.shopKey = 7 }
    peer = try Peer(to: target)
  }

  private struct Answer {
    var status: String
    var head: String
    var body: String

    func field(_ name: String) -> String {
      let line = head.split(separator: "\r\n").first { $0.hasPrefix(name + ": ") }
      return line.map { String($0.dropFirst(name.count + 2)) } ?? ""
    }

    var cookie: String { String(field("Set-Cookie").prefix { $0 != ";" }) }
  }

  /// One exchange; `piece` bytes at a time.
  private func ask(
    _ line: String, _ fields: [String] = [], body: String = "", piece: Int = .max
  ) throws -> Answer {
    let head = ["\(line) HTTP/1.1", "Host: a"] + fields
    let length = body.isEmpty ? [] : ["Content-Length: \(body.utf8.count)"]
    let bytes = Array(((head + length).joined(separator: "\r\n") + "\r\n\r\n" + body).utf8)
    for start in stride(from: 0, to: bytes.count, by: min(piece, bytes.count)) {
      peer.send(Array(bytes[start..<min(bytes.count, start + min(piece, bytes.count))]))
    }
    var text = ""
    while !text.hasSuffix("\r\n\r\n") {
      let byte = peer.readText(1)
      guard !byte.isEmpty else { throw Ended(text: text) }
      text += byte
    }
    var answer = Answer(status: String(text.dropFirst(9).prefix(3)), head: text, body: "")
    answer.body = peer.readText(Int(answer.field("Content-Length")) ?? 0)
    return answer
  }

  private struct Ended: Error { var text: String }

  private static let json = "Content-Type: application/json"

  private func token(of name: String = "ann") throws -> String {
    let answer = try ask(
      "POST /login", [Self.json], body: #"{"name": "\#(name)", "password":"secret"}"#)
    let parts = answer.body.split(separator: "\"")
    return "Authorization: Bearer \(try #require(parts.dropFirst(3).first))"
  }

  @Test func aFormIsOnlyTakenWithItsOwnWord() throws {
    let form = try ask("GET /login")
    let csrf = try #require(
      form.body.firstMatch(of: /name="csrf" value="([0-9a-f]+)"/)?.output.1)
    let type = "Content-Type: application/x-www-form-urlencoded"
    let body = "csrf=\(csrf)&name=ann&password=secret"
    let good = try ask("POST /login", [type, "Cookie: \(form.cookie)"], body: body)
    #expect(good.status == "200")
    #expect(good.cookie == "session=ann")
    #expect(try ask("POST /login", [type], body: body).status == "403")
    let other = try ask("GET /login").cookie
    #expect(try ask("POST /login", [type, "Cookie: \(other)"], body: body).status == "403")
    let wrong = body.replacing("secret", with: "guess")
    #expect(
      try ask("POST /login", [type, "Cookie: \(form.cookie)"], body: wrong).status == "401")
  }

  @Test(arguments: [
    ("GET /items", "", "", "401"), ("GET /items", "Authorization: Bearer ann.0", "", "401"),
    ("GET /items?q=tea", "user", "", "200"), ("GET /items?q=a%20b", "user", "", "400"),
    ("GET /items?page=11", "user", "", "400"), ("GET /items/100", "user", "", "200"),
    ("GET /items/101", "user", "", "404"), ("GET /items/x", "user", "", "404"),
    ("DELETE /items", "user", "", "405"), ("GET /nowhere", "user", "", "404"),
    ("GET /items", "user\r\nCookie: session=bob", "", "409"),
    ("POST /basket", "user", #"{"item":3,"quantity":2}"#, "201"),
    ("POST /basket", "user", #"{"item":"3","quantity":2}"#, "400"),
    ("POST /basket", "user", #"{"item":3,"quantity":10}"#, "400"),
    ("POST /basket", "user", #"{"item":3,"quantity":2"#, "400"),
    ("POST /basket", "user", #"{"item":3,"quantity":2} x"#, "400"),
    ("POST /orders", "user", "", "409"), ("GET /orders/1-2", "user", "", "404"),
    ("GET /", "", "", "302"), ("HEAD /health", "", "", "200"), ("POST /health", "", "", "405"),
    ("GET /report", "", "", "401"),
    ("GET /report", "Authorization: Basic YWRtaW46c2VjcmV0", "", "200"),
    ("POST /login", "", #"{"name":"ann","password":"guess"}"#, "401"),
    ("POST /login", "", #"{"name":"a b","password":"secret"}"#, "400"),
    ("POST /events", "", #"{"id":"x","at":1700000000000}"#, "400"),
    (
      "POST /events", "",
      #"{"id":"aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee","at":1700000000000}"#, "204"
    ),
    ("POST /logout", "user", "", "204"),
  ])
  func everyRequestIsJudged(line: String, field: String, body: String, status: String) throws {
    var fields = body.isEmpty ? [] : [Self.json]
    if field.hasPrefix("user") {
      fields.append(try token() + field.dropFirst(4))
    } else if !field.isEmpty {
      fields.append(field)
    }
    if line.hasPrefix("HEAD") {
      peer.send("\(line) HTTP/1.1\r\nHost: a\r\n\r\n")
      return peer.expect(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n")
    }
    #expect(try ask(line, fields, body: body).status == status)
  }

  @Test func aBasketBecomesAnOrderOnceAndOfItsUserAlone() throws {
    let (ann, bob) = (try token(), try token(of: "bob"))
    let goods = #"{"item":3,"quantity":2}"#
    let basket = try ask("POST /basket", [ann, Self.json], body: goods)
    #expect(basket.body == #"{"items":2}"#)
    let more = try ask(
      "POST /basket", [ann, Self.json, "Cookie: \(basket.cookie)"], body: goods, piece: 7)
    #expect(more.body == #"{"items":4}"#)
    #expect(try ask("POST /orders", [bob, "Cookie: \(more.cookie)"]).status == "409")
    let order = try ask("POST /orders", [ann, "Cookie: a=b; \(more.cookie)"])
    #expect(order.status == "303")
    let place = order.field("Location")
    #expect(try ask("GET \(place)", [ann]).body.contains(#""status":"#))
    #expect(try ask("GET \(place)", [bob]).status == "404")
  }

  @Test func anUploadHasAnEnd() throws {
    let user = try token()
    let type = "Content-Type: multipart/form-data; boundary=xyz"
    let part = "--xyz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n"
    #expect(
      try ask("POST /uploads", [user, type], body: part + part + "--xyz--\r\n").body
        == #"{"parts":2}"#)
    #expect(try ask("POST /uploads", [user, type], body: part).status == "400")
    #expect(
      try ask("POST /uploads", [user, "Content-Type: text/plain"], body: part).status == "415")
  }

  @Test func requestsAreCountedByWhatTheyAskForAndByRefusal() throws {
    let user = try token()
    for id in 1...3 { _ = try ask("GET /items/\(id)", [user], piece: id * 11) }
    _ = try ask("GET /items/900", [user])
    #expect(
      target.counts().paths == [
        "POST /login": 1, "GET /items/[id]": 3, "GET /items/[id] 404": 1,
      ])
    #expect(target.counts().requestCount == 5)
  }

  @Test func whatIsTooLargeOrInChunksIsRefusedAndTheNextIsRead() throws {
    let user = try token()
    #expect(
      try ask("POST /uploads", [user], body: String(repeating: "x", count: 70_000)).status
        == "413")
    let chunked = "Transfer-Encoding: chunked\r\n\r\n0"
    #expect(try ask("POST /uploads", [user, chunked]).status == "411")
    #expect(try ask("GET /items", [user]).status == "200")
  }
}
