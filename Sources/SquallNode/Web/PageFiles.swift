internal import HTTPTypes
internal import Hummingbird
internal import NIOCore
internal import SquallPage
internal import SquallReport
internal import SquallTLS

/// The page's files, from the binary. They hold no secret, so that whoever has to sign in can get them.
enum PageFiles {
  struct Served: Sendable {
    let type: String
    let bytes: ByteBuffer
    /// Of the content: what a browser has already is not sent again.
    let tag: String

    init(_ file: Page.File) {
      type =
        file.name.hasSuffix(".js")
        ? "text/javascript; charset=utf-8"
        : file.name.hasSuffix(".css") ? "text/css; charset=utf-8" : "text/html; charset=utf-8"
      bytes = ByteBuffer(bytes: file.bytes)
      tag = "\"\(Base64.encode(Array(sha256(file.bytes).prefix(12))))\""
    }
  }

  private static let served = Dictionary(
    uniqueKeysWithValues: Page.files.map { ($0.name, Served($0)) })

  /// No script that is not a file of ours, no request to anywhere else, in nobody's frame.
  private static let policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

  private static let names = [
    ("Referrer-Policy", "no-referrer"), ("Cross-Origin-Resource-Policy", "same-origin"),
  ].compactMap { name, value in HTTPField.Name(name).map { ($0, value) } }

  static func response(_ name: String, to request: Request) -> Response? {
    guard let file = served[name] else { return nil }
    var headers = HTTPFields()
    headers[.contentType] = file.type
    headers[.cacheControl] = "no-cache"
    headers[.eTag] = file.tag
    headers[.xContentTypeOptions] = "nosniff"
    headers[.contentSecurityPolicy] = policy
    for (name, value) in names { headers[name] = value }
    if request.headers[.ifNoneMatch] == file.tag {
      return Response(status: .notModified, headers: headers)
    }
    return Response(status: .ok, headers: headers, body: .init(byteBuffer: file.bytes))
  }
}
