import SquallHTTP
import Testing

@Suite struct TargetURLTests {
  @Test(arguments: [
    ("http://a", "a", UInt16(80), "/", "a"),
    ("http://a/", "a", 80, "/", "a"),
    ("HTTP://A.b-c_d:8080/x?y=z", "A.b-c_d", 8080, "/x?y=z", "A.b-c_d:8080"),
    ("http://a:80/x", "a", 80, "/x", "a"),
    ("http://a:65535", "a", 65535, "/", "a:65535"),
    ("http://a?q", "a", 80, "/?q", "a"),
    ("http://a/x#fragment", "a", 80, "/x", "a"),
    ("http://a#fragment", "a", 80, "/", "a"),
    ("http://a/x?y#z?w", "a", 80, "/x?y", "a"),
    ("http://a/%20/[1]|{}\"<>\\^`", "a", 80, "/%20/[1]|{}\"<>\\^`", "a"),
    ("http://a/b:c@d", "a", 80, "/b:c@d", "a"),
    ("http://127.0.0.1:8080", "127.0.0.1", 8080, "/", "127.0.0.1:8080"),
    ("http://[::1]", "::1", 80, "/", "[::1]"),
    ("http://[::1]:8080/x", "::1", 8080, "/x", "[::1]:8080"),
    (
      "http://[2001:db8::8:800:200C:417A]/", "2001:db8::8:800:200C:417A", 80, "/",
      "[2001:db8::8:800:200C:417A]"
    ),
    ("http://[::]", "::", 80, "/", "[::]"),
    ("http://[1:2:3:4:5:6:7:8]", "1:2:3:4:5:6:7:8", 80, "/", "[1:2:3:4:5:6:7:8]"),
    ("http://[1::]", "1::", 80, "/", "[1::]"),
    ("http://[::ffff:127.0.0.1]", "::ffff:127.0.0.1", 80, "/", "[::ffff:127.0.0.1]"),
    ("localhost:8080/x", "localhost", 8080, "/x", "localhost:8080"),
    ("localhost:8080", "localhost", 8080, "/", "localhost:8080"),
    ("[::1]:9/x", "::1", 9, "/x", "[::1]:9"),
  ])
  func takesTheURLApart(
    text: String, host: String, port: UInt16, target: String, hostField: String
  ) throws {
    let url = try TargetURL(text)
    #expect(url.host == host)
    #expect(url.port == port)
    #expect(url.target == target)
    #expect(url.hostField == hostField)
  }

  @Test(arguments: [
    ("", TargetURL.Fault.missingScheme("")),
    ("example.com", .missingScheme("example.com")),
    ("example.com/x:1", .missingScheme("example.com/x:1")),
    ("/x", .missingScheme("/x")),
    ("//a/x", .missingScheme("//a/x")),
    ("://a", .missingScheme("://a")),
    ("http:", .missingScheme("http:")),
    ("http:/a", .missingScheme("http:/a")),
    (" http://a", .missingScheme(" http://a")),
    ("ftp://a", .unsupportedScheme("ftp")),
    ("http2://a", .unsupportedScheme("http2")),
    ("http://u@a", .userInfo),
    ("http://u:p@a/x", .userInfo),
    ("http://", .emptyHost),
    ("http:///x", .emptyHost),
    ("http://:80/x", .emptyHost),
    ("http://a b/x", .invalidHost("a b", " ")),
    ("http://a\n/x", .invalidHost("a\n", "\n")),
    ("http://bücher/x", .invalidHost("bücher", "ü")),
    ("http://a%20b/x", .invalidHost("a%20b", "%")),
    ("http://a\\b/x", .invalidHost("a\\b", "\\")),
    ("http://::1/x", .bareIPv6("::1")),
    ("http://a:1:2/x", .bareIPv6("a:1:2")),
    ("http://[::1", .invalidIPv6("[::1")),
    ("http://[]", .invalidIPv6("")),
    ("http://[a]", .invalidIPv6("a")),
    ("http://[:::]", .invalidIPv6(":::")),
    ("http://[1::2::3]", .invalidIPv6("1::2::3")),
    ("http://[1:2:3:4:5:6:7]", .invalidIPv6("1:2:3:4:5:6:7")),
    ("http://[1:2:3:4:5:6:7:8:9]", .invalidIPv6("1:2:3:4:5:6:7:8:9")),
    ("http://[1:2:3:4:5:6:7::8]", .invalidIPv6("1:2:3:4:5:6:7::8")),
    ("http://[12345::]", .invalidIPv6("12345::")),
    ("http://[:1:2:3:4:5:6:7]", .invalidIPv6(":1:2:3:4:5:6:7")),
    ("http://[::127.0.0.256]", .invalidIPv6("::127.0.0.256")),
    ("http://[::127.0.0.1:1]", .invalidIPv6("::127.0.0.1:1")),
    ("http://[fe80::1%25eth0]", .invalidIPv6("fe80::1%25eth0")),
    ("http://[::1]x", .invalidPort("x")),
    ("http://a:", .invalidPort("")),
    ("http://a:0", .invalidPort("0")),
    ("http://a:65536", .invalidPort("65536")),
    ("http://a:+80", .invalidPort("+80")),
    ("http://a:8080x/", .invalidPort("8080x")),
    ("http://a/x y", .invalidTarget("/x y", " ")),
    ("http://a/x\r\nHost: b", .invalidTarget("/x\r\nHost: b", "\r")),
    ("http://a/\u{0}", .invalidTarget("/\u{0}", "\0")),
    ("http://a/é", .invalidTarget("/é", "é")),
    ("http://a?\u{7F}", .invalidTarget("?\u{7F}", "\u{7F}")),
  ])
  func refusesTheURL(text: String, fault: TargetURL.Fault) {
    #expect(throws: fault) { try TargetURL(text) }
  }

  @Test func aHostIsAtMostTwoHundredAndFiftyThreeCharacters() throws {
    let name = String(repeating: "a", count: 253)
    #expect(try TargetURL("http://\(name)").host == name)
    #expect(throws: TargetURL.Fault.hostTooLong(byteCount: 254)) {
      try TargetURL("http://a\(name)")
    }
  }

  @Test(arguments: [
    ("example.com", "http://"), ("http://u@a", "-H 'Authorization"),
    ("http://a/x y", "a space: write it as %20"), ("http://a/é", "%C3%A9"),
    ("http://::1", "brackets"), ("http://a/\u{1B}[2J", "%1B"), ("http://a:x", "65535"),
  ])
  func saysWhatToWriteInstead(text: String, remedy: String) {
    do throws(TargetURL.Fault) {
      _ = try TargetURL(text)
      Issue.record("accepted \(text)")
    } catch {
      #expect(error.description.contains(remedy))
      #expect(error.description.unicodeScalars.allSatisfy { $0.value >= 0x20 })
    }
  }
}
