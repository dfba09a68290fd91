import Foundation
import SquallTLS
import Testing

extension EndToEnd {
  /// The built-in target over TLS: what was sent is what it counted.
  @Suite(.serialized) struct SecureTargetTests {
    private static func count(
      _ target: Served, _ arguments: [String], sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> Measured {
      let result = try Squall.run(
        arguments + ["-k", target.url], sourceLocation: sourceLocation)
      result.expectConservation(sourceLocation: sourceLocation)
      #expect(result.ok == result.sent, "\(result.requests)", sourceLocation: sourceLocation)
      #expect(try target.count() == result.sent, sourceLocation: sourceLocation)
      return result
    }

    @Test(arguments: [
      ["-n", "1", "-c", "1"], ["-n", "20003", "-c", "130"], ["-n", "10007", "-c", "9", "-w", "3"],
      ["-n", "10005", "-c", "8", "--pipeline", "16"], ["-d", "400ms", "-c", "64"],
      ["-R", "2000", "-d", "500ms"], ["-n", "500", "--tls-max", "1.2"],
    ])
    func everyRequestIsCountedExactly(arguments: [String]) throws {
      let target = try Served(["--tls"])
      #expect(target.url.hasPrefix("https://"))
      let result = try Self.count(target, arguments)
      if arguments[0] == "-n" { #expect(result.sent == Int(arguments[1])) }
      #expect(result["tls.version"] as? String == (arguments.last == "1.2" ? "1.2" : "1.3"))
      #expect(result["tls.alpn"] as? String == "http/1.1")
    }

    @Test(arguments: ["full", "resume"]) func handshakesAreCountedOnBothSides(session: String)
      throws
    {
      let target = try Served(["--tls"])
      let result = try Self.count(
        target, ["-n", "300", "-c", "1", "-w", "1", "--no-keepalive", "--tls-session", session])
      #expect(result.sent == 300)
      let resumed = session == "resume" ? 299 : 0
      #expect(result.number("tls.handshakes.resumed") == resumed)
      #expect(result.number("tls.handshakes.full") == 300 - resumed)
      let text = try fetch("/count", port: target.port)
      let counts = try #require(
        try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
      let handshakes = try #require(counts["handshakes"] as? [String: Int])
      // The look before the load need not send the last of its handshake.
      #expect([300 - resumed, 301 - resumed].contains(handshakes["full"]))
      #expect(handshakes["resumed"] == resumed)
      #expect(counts["tls_failures"] as? Int == 0)
    }

    @Test func largeAnswersAndFaultsAreToldApart() throws {
      let target = try Served(["--tls"])
      let url = target.url
      let large = try Squall.run(["-n", "200", "-c", "8", "-k", url + "?size=200k"])
      #expect(large.ok == 200)
      #expect(large.number("bytes.body") == 200 * 200 << 10)
      for (fault, cause) in [("half", "closed"), ("reset", "reset"), ("garbage", "parse")] {
        let result = try Squall.run(["-n", "20", "-c", "4", "-k", url + "fault/\(fault)"], code: 1)
        result.expectConservation()
        #expect(result.errors[cause] == 20, "\(fault): \(result.errors)")
      }
      #expect(try target.count() == 260)
    }

    @Test func oneCommandMeasuresTLS() throws {
      for arguments in [
        ["-n", "5000", "-c", "16"], ["-n", "200", "--no-keepalive"],
        ["-n", "3000", "-w", "2", "--tls-min", "1.3"],
      ] {
        let result = try Squall.run(arguments + ["--tls"])
        result.expectConservation()
        #expect(result.ok == Int(arguments[1]))
        #expect(result["tls.verified"] as? Bool == true)
        #expect((result["plan.url"] as? String)?.hasPrefix("https://127.0.0.1:") == true)
      }
      let resumed = try Squall.run([
        "--tls", "-n", "200", "-c", "1", "-w", "1", "--no-keepalive", "--tls-session", "resume",
      ])
      #expect(resumed.ok == 200)
      #expect(resumed.number("tls.handshakes.resumed") == 199)
      let child = try Squall.ended(["--tls", "-d", "200ms"])
      #expect(child.ending == Child.Ending(code: 0), "\(child.errors)")
      #expect(child.output.contains("TLS 1.3"), "\(child.output)")
    }

    @Test func plainAndTLSAreComparedOnOneTarget() throws {
      let child = try Squall.ended([
        "run", "-n", "500", "--repeat", "2", "--vs=--tls -n 500",
      ])
      #expect(child.ending == Child.Ending(code: 0), "\(child.errors)")
    }

    @Test func anInterruptedRunReportsWhatItHas() throws {
      try Squall.expectInterruptedRunReports(
        ["-c", "8", "-k"], of: Served(["--tls", "--delay", "100ms"]))
    }

    @Test func aCertificateOfOnesOwnIsServed() throws {
      let now = Int64(Date().timeIntervalSince1970)
      let made = try Certificate.make(.init(validity: now - 3_600...now + 3_600))
      let folder = try Folder()
      let certificate = try folder.file("cert", String(decoding: made.chain, as: UTF8.self))
      let key = try folder.file("key", String(decoding: made.key, as: UTF8.self))
      let target = try Served(["--tls", "--cert", certificate, "--key", key])
      let result = try Squall.run(["-n", "100", "--cacert", certificate, target.url])
      #expect(result.ok == 100)
      #expect(result["tls.verified"] as? Bool == true)
      for (arguments, words) in [
        (["serve", "--cert", certificate, "--key", key], "add --tls"),
        (["serve", "--tls", "--cert", certificate], "give both"),
        (["serve", "--tls", "--cert", key, "--key", certificate], "cannot be"),
        (["run", "--tls", target.url], "--tls is for the built-in target"),
        (["run", "--http2"], "--tls"),
      ] {
        let child = try Squall.ended(arguments)
        #expect(child.ending == Child.Ending(code: 2), "\(arguments)")
        #expect(child.errors.contains(words), "\(child.errors)")
      }
    }
  }
}
