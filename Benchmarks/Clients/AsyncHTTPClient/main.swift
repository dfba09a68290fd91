import AsyncHTTPClient
import ClientSupport
import NIOCore
import NIOHTTP1
import NIOPosix

/// What one task sent and got, added up when it ends.
struct Tally {
  var sent: UInt64 = 0
  var received: UInt64 = 0
  var failed: UInt64 = 0
}

/// Asks again and again until the time is over or its part of the requests is sent.
func load(_ client: HTTPClient, url: String, endNs: UInt64, countMax: UInt64) async -> Tally {
  var tally = Tally()
  while tally.sent < countMax, client_now_ns() < endNs {
    tally.sent += 1
    do {
      let response = try await client.execute(
        HTTPClientRequest(url: url), timeout: .seconds(10))
      _ = try await response.body.collect(upTo: 1 << 24)
      if response.status == .ok { tally.received += 1 } else { tally.failed += 1 }
    } catch {
      tally.failed += 1
    }
  }
  return tally
}

var options = client_options()
client_options_read(&options, CommandLine.argc, CommandLine.unsafeArgv)
let responseByteCount = client_learn(&options)
let connectionCount = Int(options.connection_count)
let path = String(cString: options.path)
let url =
  "http://\(String(cString: options.host)):\(UInt16(bigEndian: options.address.sin_port))\(path)"

var result = client_result()
client_result_begin(&result, "async-http-client")
let endNs = result.started_ns + options.duration_ns
let requestCountMax = options.request_count_max

var configuration = HTTPClient.Configuration()
configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = connectionCount
configuration.redirectConfiguration = .disallow
let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
let client = HTTPClient(eventLoopGroupProvider: .shared(group), configuration: configuration)
let total = await withTaskGroup(of: Tally.self, returning: Tally.self) { tasks in
  for index in 0..<connectionCount {
    // The remainder is dealt out, so that -n is met exactly.
    let (each, rest) = requestCountMax.quotientAndRemainder(dividingBy: UInt64(connectionCount))
    let countMax = requestCountMax == 0 ? UInt64.max : each + (UInt64(index) < rest ? 1 : 0)
    tasks.addTask { await load(client, url: url, endNs: endNs, countMax: countMax) }
  }
  var total = Tally()
  for await tally in tasks {
    total.sent += tally.sent
    total.received += tally.received
    total.failed += tally.failed
  }
  return total
}
result.sent = total.sent
result.received = total.received
result.failed = total.failed
result.opened = UInt64(connectionCount)
client_result_end(&result)
client_result_print(&result, &options, responseByteCount)
try await client.shutdown().get()
try await group.shutdownGracefully()
