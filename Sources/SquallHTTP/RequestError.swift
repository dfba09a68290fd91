/// Why a request cannot be sent as asked. Each case names the input; `description` adds the remedy.
///
/// What reaches the wire is what the user wrote or nothing: a line end smuggled into a header would
/// make two requests of one, and every count after it wrong.
package enum RequestError: Error, Equatable, Sendable {
  case invalidMethod(String)
  case connectMethod
  /// The character that cannot stand in a request target.
  case invalidTarget(String, Unicode.Scalar)
  /// Neither begins with `/` nor is the `*` of OPTIONS.
  case targetForm(String)
  case invalidHost(String)
  case repeatedHost
  case invalidFieldName(String)
  case invalidFieldValue(name: String, Unicode.Scalar)
  /// Content-Length or Transfer-Encoding, which follow from the body.
  case framingField(String)
  /// A field of HTTP/1 connections, which HTTP/2 forbids.
  case connectionField(String)
}

extension RequestError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .invalidMethod(let method):
      "the method \(method.quoted) is not a token: use letters, such as GET or POST"
    case .connectMethod:
      "the method CONNECT opens a tunnel and has no response to measure: use another method"
    case .invalidTarget(let target, let scalar):
      "the request target \(target.quoted) holds \(scalar.name): write it as \(scalar.percentEncoded)"
    case .targetForm(let target):
      "the request target \(target.quoted) does not begin with /: write it as /path?query"
    case .invalidHost(let host):
      "the Host \(host.quoted) is empty or holds a character no host may: write it as host[:port]"
    case .repeatedHost:
      "the header Host is given more than once: give it once"
    case .invalidFieldName(let name):
      "the header name \(name.quoted) is not a token: use letters, digits and hyphens"
    case .invalidFieldValue(let name, let scalar):
      "the value of the header \(name.quoted) holds \(scalar.name): take it out"
    case .framingField(let name):
      "the header \(name.quoted) is set from the body: leave it out"
    case .connectionField(let name):
      "the header \(name.quoted) concerns an HTTP/1 connection and is not allowed in HTTP/2: "
        + "leave it out"
    }
  }
}

extension String {
  /// In quotes, with every character escaped that a terminal or a log might obey.
  var quoted: String {
    var text = "\""
    for scalar in unicodeScalars { text += scalar.escaped(asASCII: false) }
    return text + "\""
  }
}

extension Unicode.Scalar {
  var name: String {
    switch self {
    case " ": "a space"
    case "\t": "a tab"
    case "\r": "a carriage return"
    case "\n": "a line feed"
    case "\0": "a NUL"
    default: "the character \"\(escaped(asASCII: false))\""
    }
  }

  /// As it may stand in a target: every byte of its UTF-8 as `%` and two hexadecimal digits.
  var percentEncoded: String {
    utf8.map { byte in "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true) }
      .joined()
  }
}
