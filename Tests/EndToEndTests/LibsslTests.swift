import Foundation
import Glibc
import Testing

extension EndToEnd {
  /// The way out from the BoringSSL that swift-nio-ssl carries (CTLS/libssl.h).
  @Suite(
    .enabled(
      if: access("/usr/include/openssl/ssl.h", R_OK) == 0, "no headers of OpenSSL: libssl-dev"))
  struct LibsslTests {
    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent().path

    @Test func theSameFilesWorkOverOpenSSL() throws {
      let folder = try Folder()
      let program = folder.path + "/exchange"
      let names = try FileManager.default.contentsOfDirectory(atPath: Self.root + "/CTLS")
      let sources = names.filter { $0.hasSuffix(".c") }.map { Self.root + "/CTLS/" + $0 }
      #expect(sources.count > 4)
      let compiler = try compiledC(
        ["-DSQUALL_LIBSSL", "-O1", "-Wall", "-Wextra", "-Werror", "-I\(Self.root)/CTLS/include"]
          + sources
          + ["\(Self.root)/Tests/Libssl/exchange.c", "-lssl", "-lcrypto", "-o", program])
      #expect(compiler.ending == Child.Ending(code: 0), "\(compiler.errors)")
      let exchange = try Child(program, [])
      #expect(try exchange.awaitEnd() == Child.Ending(code: 0), "\(exchange.output)")
    }
  }
}
