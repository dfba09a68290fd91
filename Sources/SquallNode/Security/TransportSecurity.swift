internal import NIOCore
internal import NIOSSL

/// TLS of the web port, of the same files as that between master and workers.
package struct WebSecurity: Sendable {
  let configuration: TLSConfiguration
}

/// TLS between master and workers, of the files that the flags name.
package struct TransportSecurity: Sendable {
  package struct Files: Sendable {
    /// Ours, with its chain, PEM.
    package var certificate: String?
    package var key: String?
    /// Who the other side must be certified by, PEM.
    package var authority: String?

    package init(certificate: String?, key: String?, authority: String?) {
      self.certificate = certificate
      self.key = key
      self.authority = authority
    }

    var isEmpty: Bool { certificate == nil && key == nil && authority == nil }
  }

  let context: NIOSSLContext

  /// The master's: it needs a certificate, and with an authority it demands one of each worker.
  package static func master(_ files: Files) throws(Complaint) -> TransportSecurity? {
    guard !files.isEmpty else { return nil }
    guard let chain = try chain(files), let key = try key(files) else {
      throw .usage(
        "TLS on the master needs --tls-cert and --tls-key; --tls-ca alone only says whom to trust.")
    }
    var configuration = TLSConfiguration.makeServerConfiguration(
      certificateChain: chain, privateKey: key)
    if let authority = files.authority {
      configuration.trustRoots = .certificates(try certificates(authority, flag: "--tls-ca"))
      // Workers come from anywhere; that the authority knows them is what counts.
      configuration.certificateVerification = .noHostnameVerification
    }
    return try TransportSecurity(configuration)
  }

  /// The web port's, with the master's certificate. Nobody is asked for one there: who may ask shows
  /// the token.
  package static func web(_ files: Files) throws(Complaint) -> WebSecurity? {
    guard try master(files) != nil, let chain = try chain(files), let key = try key(files) else {
      return nil
    }
    var configuration = TLSConfiguration.makeServerConfiguration(
      certificateChain: chain, privateKey: key)
    configuration.minimumTLSVersion = .tlsv13
    configuration.applicationProtocols = ["http/1.1"]
    return WebSecurity(configuration: configuration)
  }

  /// A worker's: the master's certificate must name the host that was dialled.
  package static func worker(_ files: Files) throws(Complaint) -> TransportSecurity? {
    guard !files.isEmpty else { return nil }
    var configuration = TLSConfiguration.makeClientConfiguration()
    if let authority = files.authority {
      configuration.trustRoots = .certificates(try certificates(authority, flag: "--tls-ca"))
    }
    switch (try chain(files), try key(files)) {
    case (nil, nil): break
    case (let chain?, let key?):
      configuration.certificateChain = chain
      configuration.privateKey = key
    default: throw .usage("--tls-cert and --tls-key belong together: give both or neither.")
    }
    return try TransportSecurity(configuration)
  }

  private init(_ configuration: TLSConfiguration) throws(Complaint) {
    var configuration = configuration
    configuration.minimumTLSVersion = .tlsv13
    do {
      context = try NIOSSLContext(configuration: configuration)
    } catch {
      throw .usage("the key of --tls-key does not fit the certificate of --tls-cert (\(error)).")
    }
  }

  private static func chain(
    _ files: Files
  ) throws(Complaint) -> [NIOSSLCertificateSource]? {
    guard let path = files.certificate else { return nil }
    return try certificates(path, flag: "--tls-cert").map { .certificate($0) }
  }

  private static func key(_ files: Files) throws(Complaint) -> NIOSSLPrivateKeySource? {
    guard let path = files.key else { return nil }
    do {
      return .privateKey(try NIOSSLPrivateKey(file: path, format: .pem))
    } catch {
      throw .usage("--tls-key \(path) is no readable private key in PEM form (\(error)).")
    }
  }

  private static func certificates(
    _ path: String, flag: String
  ) throws(Complaint) -> [NIOSSLCertificate] {
    do {
      let certificates = try NIOSSLCertificate.fromPEMFile(path)
      if !certificates.isEmpty { return certificates }
    } catch {
      throw .usage("\(flag) \(path) is no readable certificate in PEM form (\(error)).")
    }
    throw .usage("\(flag) \(path) holds no certificate.")
  }

  func serverHandler() -> NIOSSLServerHandler { NIOSSLServerHandler(context: context) }

  func clientHandler(host: String) throws -> NIOSSLClientHandler {
    // A name goes into SNI and is checked; an address is checked against the peer's own.
    let isAddress = (try? SocketAddress(ipAddress: host, port: 0)) != nil
    return try NIOSSLClientHandler(context: context, serverHostname: isAddress ? nil : host)
  }
}
