import Foundation
import Glibc
import SquallTLS
import Testing

/// One answer of a server on loopback.
struct Answered {
  let status: Int
  /// By lower-case name.
  let fields: [String: String]
  let body: String

  /// Asks on a connection of its own.
  init(
    _ method: String, _ path: String, port: UInt16, fields: [String: String] = [:],
    body: String = ""
  ) throws {
    let socket = try connection(to: port)
    defer { close(socket) }
    var head = "\(method) \(path) HTTP/1.1\r\nConnection: close\r\n"
    let standard = [
      "Host": "localhost", "Content-Length": "\(body.utf8.count)",
      "Content-Type": "application/json",
    ]
    for (name, value) in standard.merging(fields, uniquingKeysWith: { $1 }) where !value.isEmpty {
      head += "\(name): \(value)\r\n"
    }
    let request = Array((head + "\r\n" + body).utf8)
    try #require(send(socket, request, request.count, Int32(MSG_NOSIGNAL)) == request.count)
    var bytes: [UInt8] = []
    var room = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = recv(socket, &room, room.count, 0)
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { break }
      bytes += room.prefix(count)
    }
    let text = String(decoding: bytes, as: UTF8.self)
    let end = try #require(text.range(of: "\r\n\r\n"), "\(method) \(path): \(text)")
    let lines = text[..<end.lowerBound].components(separatedBy: "\r\n")
    status = try #require(Int(lines[0].split(separator: " ")[1]))
    self.fields = Dictionary(
      lines.dropFirst().map { line in
        let parts = line.split(separator: ":", maxSplits: 1)
        return (parts[0].lowercased(), parts[1].trimmingCharacters(in: .whitespaces))
      }, uniquingKeysWith: { $1 })
    self.body = String(text[end.upperBound...])
  }

  var json: Measured { get throws { try Measured(body) } }
}

extension EndToEnd {
  /// What the web port answers.
  @Suite(.serialized) struct WebTests {
    /// A master that waits on a free port.
    private final class Waiting {
      let target: Served
      let master: Child
      let folder: Folder
      let port: UInt16

      init(_ arguments: [String] = [], environment: [String: String] = [:]) throws {
        target = try Served()
        folder = try Folder()
        master = try Squall.start(
          [
            "master", target.url, "--master-bind-port", "0", "--web-port", "0", "--record",
            folder.path + "/record.db",
          ] + arguments, environment: environment)
        let master = master
        try master.run { master.errors.contains("/api/start\n") }
        let text = master.errors.components(separatedBy: "the page is at http://")[1]
        port = try #require(
          UInt16(text.drop { $0 != ":" }.dropFirst().prefix { $0.isNumber }))
      }

      func ask(
        _ method: String, _ path: String, fields: [String: String] = [:], body: String = ""
      ) throws -> Answered {
        try Answered(method, path, port: port, fields: fields, body: body)
      }
    }

    @Test func thePageIsWholeAndAsksNobodyElse() throws {
      let waiting = try Waiting()
      let page = try waiting.ask("GET", "/")
      #expect(page.status == 200)
      let policy = try #require(page.fields["content-security-policy"])
      #expect(policy.hasPrefix("default-src 'none'; script-src 'self'; style-src 'self';"))
      #expect(page.fields["x-content-type-options"] == "nosniff")
      #expect(page.fields["referrer-policy"] == "no-referrer")
      var byteCount = page.body.utf8.count
      var files = Set(page.body.matches(of: /"(\/assets\/[a-z.]+)"/).map { String($0.output.1) })
      for file in files {
        let asset = try waiting.ask("GET", file)
        #expect(asset.status == 200, "\(file)")
        for match in asset.body.matches(of: /from "\.\/([a-z]+\.js)"/) {
          files.insert("/assets/" + match.output.1)
        }
        byteCount += asset.body.utf8.count
        #expect(!asset.body.contains("https://") && !asset.body.contains("innerHTML"), "\(file)")
      }
      for file in files { #expect(try waiting.ask("GET", file).status == 200, "\(file)") }
      #expect(byteCount <= 350 * 1024)
      #expect(!page.body.contains("https://") && !page.body.contains("<script>"))
      let tag = try #require(page.fields["etag"])
      #expect(try waiting.ask("GET", "/", fields: ["If-None-Match": tag]).status == 304)
      #expect(try waiting.ask("GET", "/assets/nothing.js").status == 404)
      #expect(try waiting.ask("GET", "/", fields: ["Host": "evil.example"]).status == 403)
    }

    /// Whoever comes when there are too many is answered once one of them goes.
    @Test func connectionsHaveABound() throws {
      let waiting = try Waiting()
      let request = Array("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".utf8)
      func ask(_ socket: Int32) throws {
        try #require(send(socket, request, request.count, Int32(MSG_NOSIGNAL)) == request.count)
      }
      func isAnswered(_ socket: Int32, flags: Int32 = 0) -> Bool {
        var byte: UInt8 = 0
        return recv(socket, &byte, 1, flags | Int32(MSG_PEEK)) == 1
      }
      // Those that come together are let in together.
      var sockets = try (0..<512 + 32).map { _ in try connection(to: waiting.port) }
      defer { for socket in sockets { close(socket) } }
      try ask(sockets[0])
      #expect(isAnswered(sockets[0]))
      let last = try #require(sockets.last)
      try ask(last)
      // The server has had its turns meanwhile.
      for socket in sockets[1..<100] {
        try ask(socket)
        #expect(isAnswered(socket))
      }
      #expect(!isAnswered(last, flags: Int32(MSG_DONTWAIT)))
      for socket in sockets[..<100] { close(socket) }
      sockets.removeFirst(100)
      #expect(isAnswered(last))
    }

    /// Whatever is wrong is said at its member, and of a scenario with its place.
    @Test func aRunIsCheckedBeforeItBegins() throws {
      let waiting = try Waiting()
      func check(_ document: String) throws -> Answered {
        try waiting.ask("POST", "/api/check", body: document)
      }
      let good = try check(
        #"{"url": "http://127.0.0.1:9/", "rate": "2k", "duration": "5s", "slo": ["p99<20ms"]}"#)
      #expect(good.status == 200, "\(good.body)")
      #expect(try good.json["plan.duration_ns"] as? Int == 5_000_000_000)
      for (document, field) in [
        (#"{}"#, "url"), (#"{"url": "ftp://x/"}"#, "url"),
        (#"{"url": "http://x/", "duration": "5 parsecs"}"#, "duration"),
        (#"{"url": "http://x/", "rate": "-"}"#, "rate"),
        (#"{"url": "http://x/", "slo": ["p99<<1ms"]}"#, "slo"),
        (#"{"url": "http://x/", "users": 5}"#, "users"),
        (#"{"url": "http://x/", "colour": "red"}"#, "colour"),
        (#"{"url": "http://x/", "connections": 0}"#, "connections"),
        (#"{"url": "http://x/", "headers": ["no colon"]}"#, "headers"),
      ] {
        let bad = try check(document)
        #expect(bad.status == 422, "\(document)")
        #expect(bad.fields["content-type"] == "application/problem+json")
        let errors = try bad.json["errors"] as? [[String: Any]]
        #expect(errors?.first?["field"] as? String == field, "\(document): \(bad.body)")
      }
      let scenario =
        #"{"scenario": "squall: 1\ntarget: http://127.0.0.1:9/\nusers:\n  a:\n    doo: []\n", "users": 1}"#
      let errors = try #require(try check(scenario).json["errors"] as? [[String: Any]])
      #expect(errors[0]["field"] as? String == "scenario")
      #expect(errors[0]["line"] as? Int == 5 && errors[0]["column"] as? Int == 5)
      #expect(try check("no JSON").status == 422)
    }

    /// One request of each name, both sides; nothing of the master's host goes out with it.
    @Test func aRunIsPreviewed() throws {
      let waiting = try Waiting()
      let secret = try waiting.folder.file("secret", "do not send me")
      let before = try waiting.target.count()
      let shown = try waiting.ask(
        "POST", "/api/preview",
        body: #"{"url": "\#(waiting.target.url)", "method": "POST", "body": "@\#(secret)"}"#)
      #expect(shown.status == 200, "\(shown.body)")
      let text = try #require(try shown.json["text"] as? String)
      #expect(text.contains("HTTP/1.1 200") && text.contains("@\(secret)"))
      #expect(!text.contains("do not send me"))
      #expect(try waiting.target.count() == before + 1)
      let scenario = try waiting.ask(
        "POST", "/api/preview",
        body:
          #"{"scenario": "squall: 1\ntarget: \#(waiting.target.url.dropLast())\nusers:\n  a:\n    do:\n      - get: /\n", "users": 1}"#
      )
      #expect(
        try (scenario.json["text"] as? String)?.contains("1 requests, 0 of them failed") == true)
    }

    @Test func runsAreHadInEveryFormAndForgotten() throws {
      let waiting = try Waiting(["--label", "a=b", "--autostart"])
      let list = try waiting.ask("GET", "/api/runs").json
      let run = try #require((list["runs"] as? [[String: Any]])?.first)
      let id = try #require(run["id"] as? String)
      for form in ["html", "json", "csv", "text", "timeseries", "hdr", "hlog"] {
        #expect(try waiting.ask("GET", "/api/runs/\(id)/report.\(form)").status == 200, "\(form)")
      }
      #expect(
        try waiting.ask("GET", "/api/runs/\(id)/view").json["schema"] as? String == "squall.view/1")
      #expect(try waiting.ask("GET", "/api/runs/\(id)/report.exe").status == 404)
      #expect(try waiting.ask("GET", "/api/runs/0000000000000001").status == 404)
      #expect(try waiting.ask("GET", "/api/runs/..").status == 404)
      let note = try waiting.ask(
        "PATCH", "/api/runs/\(id)", body: #"{"labels": {"c": "d"}, "note": "seen"}"#)
      #expect(note.status == 200, "\(note.body)")
      let again = try waiting.ask("GET", "/api/runs").json
      let noted = try #require((again["runs"] as? [[String: Any]])?.first)
      #expect(noted["labels"] as? [String: String] == ["a": "b", "c": "d"])
      #expect(noted["note"] as? String == "seen")
      let line = try waiting.ask("GET", "/api/runs/\(id)/summary")
      #expect(try line.json["note"] as? String == "seen")
      #expect(try line.json["plan_hash"] as? String == noted["plan_hash"] as? String)
      #expect(try line.json["ok_per_s"] is NSNull, "it has no end yet")
      #expect(try waiting.ask("GET", "/api/runs/0000000000000001/summary").status == 404)
      // It goes on, so it stays.
      #expect(try waiting.ask("DELETE", "/api/runs/\(id)").status == 409)
      #expect(try waiting.ask("GET", "/api/compare?runs=\(id),\(id)").status == 200)
      #expect(try waiting.ask("GET", "/api/compare?runs=\(id)").status == 422)
      let three = try waiting.ask("GET", "/api/comparisons?runs=\(id),\(id),\(id)")
      #expect((try three.json["comparisons"] as? [[String: Any]])?.count == 2, "\(three.body)")
      #expect(try waiting.ask("GET", "/api/comparisons?runs=\(id)").status == 422)
      let document = try waiting.ask("GET", "/api/openapi.json").json
      #expect((document["paths"] as? [String: Any])?.keys.contains("/api/runs/{id}") == true)
    }

    /// Nothing changes for a page of another site.
    @Test func whatChangesSomethingIsAskedByOurOwn() throws {
      let waiting = try Waiting()
      for (method, path) in [
        ("POST", "/api/start"), ("POST", "/api/stop"), ("POST", "/api/preview"),
        ("DELETE", "/api/runs/0000000000000001"), ("PATCH", "/api/runs/0000000000000001"),
        ("POST", "/api/session"),
      ] {
        #expect(
          try waiting.ask(method, path, fields: ["Content-Type": "text/plain"]).status == 415)
        #expect(
          try waiting.ask(method, path, fields: ["Origin": "http://evil.example"]).status == 403)
      }
    }

    /// What there is not is answered as every other error is.
    @Test func pathsAndMethodsThatAreNotOursAreNamed() throws {
      let waiting = try Waiting()
      for (method, path, status, allow) in [
        ("GET", "/api/nothing", 404, nil), ("GET", "/favicon.ico", 404, nil),
        ("PUT", "/api/runs", 405, "GET"), ("GET", "/api/start", 405, "POST"),
        ("POST", "/api/runs/0000000000000001", 405, "DELETE, GET, PATCH"),
        ("TRACE", "/api/runs/0000000000000001/summary", 405, "GET"), ("POST", "/", 405, "GET"),
        ("DELETE", "/api/session", 204, nil),
      ] as [(String, String, Int, String?)] {
        let answer = try waiting.ask(method, path, fields: ["Content-Type": ""])
        #expect(answer.status == status, "\(method) \(path)")
        #expect(answer.fields["allow"] == allow, "\(method) \(path)")
        guard status >= 400 else { continue }
        #expect(answer.fields["content-type"] == "application/problem+json", "\(method) \(path)")
        #expect(try answer.json.number("status") == status)
      }
    }

    /// What the master says of its API is how it behaves: asked by schemathesis, in ways that the
    /// document allows and in ways that it does not.
    @Test(
      .enabled(
        if: Repository.has(Repository.judge("schemathesis")), "schemathesis is not installed"))
    func theAPIIsAsItIsDescribed() throws {
      let waiting = try Waiting(["--processes", "1", "-c", "2", "-d", "1s", "-n", "50"])
      try waiting.master.run { waiting.master.errors.contains("is ready") }
      #expect(try waiting.ask("POST", "/api/start", body: "{}").status == 202)
      try waiting.master.run {
        try waiting.ask("GET", "/api/runs").body.contains(#""state":"ended""#)
      }
      // It leaves files of its own where it runs.
      let child = try Child(
        "/bin/sh",
        [
          "-c", "cd \"$0\" && exec \"$@\"", waiting.folder.path, Repository.judge("schemathesis"),
          "--config-file", Repository.path + "/Tests/EndToEndTests/Browser/schemathesis.toml",
          "run",
          "http://127.0.0.1:\(waiting.port)/api/openapi.json", "--exclude-path", "/api/live",
          "--max-examples", "15", "--no-color",
        ])
      let ending = try child.awaitEnd(withinMs: 180_000)
      #expect(ending == Child.Ending(code: 0), "\(child.output)\(child.errors)")
      let counts = try #require(
        child.output.firstMatch(of: /(\d+) generated, (\d+) passed/), "\(child.output)")
      #expect(counts.output.1 == counts.output.2 && Int(counts.output.1) ?? 0 > 500)
      #expect(try waiting.ask("GET", "/api/status").status == 200)
    }

    /// Without the token nothing is told, and guessing it is slow.
    @Test func onAnAddressForOthersTheTokenIsNeeded() throws {
      let token = "0123456789abcdefghijklmn"
      let waiting = try Waiting(["--web-host", "0.0.0.0"], environment: ["SQUALL_TOKEN": token])
      for path in ["/api/status", "/api/runs", "/api/live", "/api/openapi.json", "/metrics"] {
        #expect(try waiting.ask("GET", path).status == 401, "\(path)")
      }
      #expect(try waiting.ask("GET", "/").status == 200)
      let bearer = try waiting.ask(
        "GET", "/api/status", fields: ["Authorization": "Bearer \(token)"])
      #expect(bearer.status == 200)
      func signIn(_ token: String) throws -> Answered {
        try waiting.ask("POST", "/api/session", body: #"{"token": "\#(token)"}"#)
      }
      let session = try signIn(token)
      #expect(session.status == 204)
      let cookie = try #require(session.fields["set-cookie"])
      #expect(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"))
      #expect(!cookie.contains(token))
      let value = String(cookie.prefix { $0 != ";" })
      #expect(try waiting.ask("GET", "/api/status", fields: ["Cookie": value]).status == 200)
      #expect(
        try waiting.ask("GET", "/api/status", fields: ["Cookie": value.dropLast() + "x"]).status
          == 401)
      let later = value.replacing("squall=1", with: "squall=9")
      #expect(try waiting.ask("GET", "/api/status", fields: ["Cookie": later]).status == 401)
      for _ in 0..<10 { #expect(try signIn("wrong").status == 403) }
      #expect(try signIn(token).status == 429)
      #expect(try waiting.ask("GET", "/api/status", fields: ["Cookie": value]).status == 200)
    }

    /// With the certificate that workers see the port speaks TLS and nothing else, and the cookie of who
    /// has signed in goes nowhere else.
    @Test func withACertificateThePortSpeaksTLS() throws {
      let folder = try Folder()
      let now = Int64(Date().timeIntervalSince1970)
      let certificate = try Certificate.make(.init(validity: now - 3_600...now + 3_600))
      let (chain, key) = (folder.path + "/chain.pem", folder.path + "/key.pem")
      try Data(certificate.chain).write(to: URL(fileURLWithPath: chain))
      try Data(certificate.key).write(to: URL(fileURLWithPath: key))
      let token = "0123456789abcdefghijklmn"
      // Workers have to show a certificate, and who looks need not.
      let master = try Squall.start(
        [
          "master", "http://127.0.0.1:9/", "--master-bind-port", "0", "--web-host", "0.0.0.0",
          "--web-port", "0", "--no-record", "--tls-cert", chain, "--tls-key", key, "--tls-ca",
          chain,
        ], environment: ["SQUALL_TOKEN": token])
      try master.run { master.errors.contains("/api/start\n") }
      let port = try master.port(after: "the page is at https://0.0.0.0:")
      func asked(_ path: String, _ arguments: String...) throws -> String {
        let child = try Squall.ended(
          ["run", "--debug", "--cacert", chain] + arguments + ["https://localhost:\(port)\(path)"])
        return child.output + child.errors
      }
      #expect(try asked("/").contains("HTTP/1.1 200"))
      #expect(try asked("/api/status").contains("HTTP/1.1 401"))
      #expect(
        try asked("/api/status", "-H", "Authorization: Bearer \(token)").contains("HTTP/1.1 200"))
      let signIn = [
        "--method", "POST", "--body", #"{"token": "\#(token)"}"#, "-H",
        "Content-Type: application/json",
      ]
      func signedIn(from origin: String) throws -> String {
        let child = try Squall.ended(
          ["run", "--debug", "--cacert", chain] + signIn + [
            "-H", "Origin: \(origin)", "https://localhost:\(port)/api/session",
          ])
        return child.output + child.errors
      }
      let session = try signedIn(from: "https://localhost:\(port)")
      #expect(session.contains("HTTP/1.1 204"), "\(session)")
      #expect(session.contains("HttpOnly; SameSite=Strict; Secure"), "\(session)")
      #expect(try signedIn(from: "http://localhost:\(port)").contains("HTTP/1.1 403"))
      // Plain HTTP gets no answer, and an end at once.
      let plain = try connection(to: port)
      defer { close(plain) }
      let request = Array("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".utf8)
      #expect(send(plain, request, request.count, Int32(MSG_NOSIGNAL)) == request.count)
      var room = [UInt8](repeating: 0, count: 1_024)
      let count = max(0, recv(plain, &room, room.count, 0))
      #expect(!String(decoding: room.prefix(count), as: UTF8.self).hasPrefix("HTTP/"))
    }

    /// A run from this host, on the same page.
    @Test func aLocalRunHasAPage() throws {
      let target = try Served()
      let run = try Squall.start([
        "run", target.url, "-R", "500", "-c", "4", "-d", "3s", "--web", "--web-port", "0",
        "--format", "json",
      ])
      try run.run { run.errors.contains("the page is at http://127.0.0.1:") }
      let port = try run.port(after: "the page is at http://127.0.0.1:")
      #expect(try Answered("GET", "/", port: port).status == 200)
      // To the last event: the connection ends with the run.
      let live = try Answered("GET", "/api/live", port: port)
      #expect(try run.awaitEnd() == Child.Ending(code: 0), "\(run.errors)")
      let last = try #require(
        live.body.components(separatedBy: "data: ").last?.prefix { $0 != "\n" })
      let figures = try Measured(String(last))
      let result = try Measured(run.output)
      #expect(figures["state"] as? String == "ended")
      #expect(figures.number("totals.ok") == result.ok)
      #expect(figures.number("view.result.requests.ok") == result.ok)
    }
  }
}
