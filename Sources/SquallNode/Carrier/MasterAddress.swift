internal import Glibc
internal import NIOCore
internal import NIOPosix
internal import NIOSSL
internal import SquallCluster
internal import SquallEngine

/// Where an agent looks for its master, and what it says when it does not find one there.
package struct MasterAddress: Sendable, CustomStringConvertible {
  package static let standardPort: UInt16 = 5_557

  package var host: String
  package var port: UInt16

  package init(host: String, port: UInt16) {
    self.host = host
    self.port = port
  }

  package var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

  /// Why no connection came about, with the remedy.
  func explain(_ error: any Error) -> String {
    switch error {
    case let error as NIOConnectionError:
      if let first = error.connectionErrors.first { return explain(first.error) }
      return
        "no host is known by the name \(host): check --master-host, or this host's name service"
    case let error as IOError: return explain(errno: error.errnoCode)
    case ChannelError.connectTimeout:
      return
        "\(self) does not answer: check that the host is up and that its firewall lets TCP port "
        + "\(port) through"
    case let error as NIOSSLError: return explain(error)
    case let error as NIOSSLExtraError:
      return "the certificate of \(self) is not for \(host) (\(error)): give the name it is for"
    default: return "the connection to \(self) failed (\(error))"
    }
  }

  private func explain(errno code: Int32) -> String {
    switch code {
    case ECONNREFUSED:
      "\(self) refuses connections: no master listens there; start squall master, or check "
        + "--master-host and --master-port"
    case EHOSTUNREACH, ENETUNREACH:
      "\(self) cannot be reached from this host (\(SystemError.explain(code))): check the network and "
        + "--master-host"
    case ETIMEDOUT:
      "\(self) does not answer: check that the host is up and that its firewall lets TCP port "
        + "\(port) through"
    case ECONNRESET: "\(self) has reset the connection"
    default: "the connection to \(self) failed: \(SystemError.explain(code))"
    }
  }

  private func explain(_ error: NIOSSLError) -> String {
    switch error {
    case .uncleanShutdown: return "\(self) closed the connection"
    case .handshakeFailed(let cause):
      let text = "\(cause)"
      if text.contains("CERTIFICATE_VERIFY_FAILED") {
        return
          "the certificate of \(self) is not vouched for by our authority: check --tls-ca, and that "
          + "the certificate names \(host)"
      }
      if text.contains("WRONG_VERSION_NUMBER") {
        return "\(self) does not speak TLS: start the master with --tls-cert and --tls-key"
      }
      return "the TLS handshake with \(self) failed (\(text))"
    default: return "TLS with \(self) failed (\(error))"
    }
  }

  /// Why it closed a connection without a word, which is what both kinds of port do when they are
  /// spoken to in the other's language.
  func explainMuteness(usesTLS: Bool) -> String {
    usesTLS
      ? "\(self) closed the connection at our TLS handshake: start the master with --tls-cert and "
        + "--tls-key, or leave --tls-ca out"
      : "\(self) closed the connection without a word: if the master has --tls-cert, give --tls-ca"
  }

  /// Why an open connection ended.
  func explain(_ ending: FrameStream.Ending) -> String {
    switch ending {
    case .finished: return "\(self) closed the connection"
    case .failed(let error): return explain(error)
    case .malformed(.version(let version), _):
      return "\(self) speaks frames of version \(version), and we of version \(Frame.version)"
    case .malformed(let malformed, let firstBytes):
      // A TLS record begins with its type, 20 to 23, and the major version 3 (RFC 8446 section 5.1).
      if firstBytes.count > 1, (20...23).contains(firstBytes[0]), firstBytes[1] == 3 {
        return "\(self) speaks TLS: give its authority's certificate with --tls-ca"
      }
      if firstBytes.starts(with: Array("HTTP".utf8)) {
        return "\(self) is a web server: --master-port is not the web port but 5557, if not changed"
      }
      return "what \(self) sends are no frames (\(malformed)): check --master-port"
    }
  }
}
