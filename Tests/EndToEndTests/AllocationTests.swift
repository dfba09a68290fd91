import Foundation
import Testing

extension EndToEnd {
  /// Nothing allocates per request, counted by a library put in front of malloc(3).
  @Suite(
    .serialized, .enabled(if: Allocations.library != nil, "no C compiler to count malloc with"))
  struct AllocationTests {
    /// Calls of malloc and its kin in the one worker of a run.
    private func count(
      _ arguments: [String], scenario: String? = nil, at url: String? = nil
    ) throws -> Int {
      let folder = try Folder()
      let target = try Served(arguments.contains("-k") ? ["--tls"] : [])
      let files = try Folder()
      let load =
        try scenario.map {
          ["-u", "16", "--host", url ?? target.url, try files.file("a.yaml", $0)]
        } ?? ["-c", "16", target.url]
      let child = try Squall.ended(
        ["run", "--quiet", "--format", "json", "-w", "1"] + arguments + load,
        environment: [
          "LD_PRELOAD": try #require(Allocations.library), "SQUALL_TEST_FOLDER": folder.path,
        ])
      #expect(child.ending == Child.Ending(code: 0), "\(child.errors)")
      #expect(try Measured(child.output).ok > 0)
      #expect(folder.names.count == 1, "\(folder.names)")
      let name = try #require(folder.names.first)
      let text = try folder.text(name)
      return try #require(Int(text))
    }

    @Test(arguments: [[], ["--pipeline", "8"], ["--no-keepalive"], ["-b", "body"]])
    func twiceTheRequestsTakeNoMoreAllocations(arguments: [String]) throws {
      // A page more or less is turned on a busy host, so the fewest of three count.
      let once = try (0..<3).map { _ in try count(["-n", "4000"] + arguments) }
      let twice = try (0..<3).map { _ in try count(["-n", "8000"] + arguments) }
      print("allocations: \(once) for 4,000 requests, \(twice) for 8,000")
      #expect(once.min()! > 10)
      #expect(once.min() == twice.min(), "\(once) \(twice)")
    }

    /// The numbers in keys and signatures are drawn, and take a few allocations more or less.
    @Test(arguments: [
      ["-k"], ["-k", "--http2"], ["-k", "--http2", "--streams", "10", "-b", "body"],
      ["--http2-prior-knowledge", "--streams", "10"],
    ])
    func twiceTheRequestsTakeNoMoreAllocationsOverTLSAndHTTP2(arguments: [String]) throws {
      let once = try (0..<3).map { _ in try count(["-n", "4000"] + arguments) }
      let twice = try (0..<3).map { _ in try count(["-n", "8000"] + arguments) }
      print("allocations: \(once) for 4,000 requests \(arguments), \(twice) for 8,000")
      #expect(once.min()! > 10)
      #expect(abs(once.min()! - twice.min()!) < 100, "\(once) \(twice)")
    }

    @Test(arguments: ["own", "shared 5"])
    func twiceTheIterationsTakeNoMoreAllocations(connections: String) throws {
      let scenario = """
        squall: 1
        target: http://127.0.0.1:1
        connections: \(connections)
        data: {words: {list: [a, b]}}
        users:
          a:
            tasks:
              - task: one
                do:
                  - get: /p/${int(1,5)}
                    query: {q: "${words}"}
                    capture: {v: {between: [Hel, world]}, h: {header: Content-Length}}
                    check: {contains: Hello, has: [v, h]}
                  - post: /w
                    json: {v: "${v}", h: "${h}", id: "${uuid}", at: "${now(iso)}"}
              - task: two
                do: [{repeat: 2, do: [{get: /r, check: {json: {$.a: 1}}, else: next iteration}]}]
        """
      let once = try (0..<3).map { _ in try count(["-n", "4000"], scenario: scenario) }
      let twice = try (0..<3).map { _ in try count(["-n", "8000"], scenario: scenario) }
      print("allocations: \(once) for 4,000 requests of a scenario, \(twice) for 8,000")
      #expect(once.min()! > 10)
      #expect(once.min() == twice.min(), "\(once) \(twice)")
    }

    /// What inflates an answer is used again for others, one for each that is being read.
    @Test func twiceTheCompressedAnswersTakeNoMoreAllocations() throws {
      let body = [UInt8](
        try #require(
          Data(
            base64Encoded:
              "H4sIAAAAAAACA6tWyixJzS1WsoquVspMUbJSytQ1VKrVgXOMlGpjdZRK8rNT84D8El1zcyUd"
              + "pbz8klQgLzEpWWEwY6VaAOCBPjXeAAAA")))
      let server = try Scripted { connection, _ in
        let head =
          "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: \(body.count)\r\n\r\n"
        while connection.head() != nil {
          guard connection.write(Array(head.utf8) + body) else { return }
        }
      }
      let scenario = """
        squall: 1
        target: http://127.0.0.1:1
        users: {a: {do: [{get: /, check: {json: {$.token: t-77}}}]}}
        """
      let once = try (0..<3).map { _ in
        try count(["-n", "2000"], scenario: scenario, at: server.url)
      }
      let twice = try (0..<3).map { _ in
        try count(["-n", "4000"], scenario: scenario, at: server.url)
      }
      print("allocations: \(once) for 2,000 compressed answers, \(twice) for 4,000")
      #expect(once.min() == twice.min(), "\(once) \(twice)")
    }
  }
}

enum Allocations {
  /// A library whose destructor writes how often a worker process called malloc and its kin.
  static let library: String? = {
    // Beside the tests, for it outlives this call.
    guard let folder = try? Folder(), let source = try? folder.file("count.c", source) else {
      return nil
    }
    let path =
      URL(fileURLWithPath: Squall.path).deletingLastPathComponent().path + "/count-malloc.so"
    let child = try? compiledC(["-shared", "-fPIC", "-O1", "-fno-builtin", "-o", path, source])
    return child?.ending == Child.Ending(code: 0) ? path : nil
  }()

  private static let source = """
    #include <fcntl.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <unistd.h>
    extern void *__libc_malloc(size_t);
    extern void *__libc_calloc(size_t, size_t);
    extern void *__libc_realloc(void *, size_t);
    extern void *__libc_memalign(size_t, size_t);
    static unsigned long count;
    static unsigned long one_more(void) { return __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED); }
    void *malloc(size_t n) { one_more(); return __libc_malloc(n); }
    void *calloc(size_t n, size_t m) { one_more(); return __libc_calloc(n, m); }
    void *realloc(void *p, size_t n) { one_more(); return __libc_realloc(p, n); }
    void *memalign(size_t a, size_t n) { one_more(); return __libc_memalign(a, n); }
    void *aligned_alloc(size_t a, size_t n) { one_more(); return __libc_memalign(a, n); }
    int posix_memalign(void **p, size_t a, size_t n)
    {
    	one_more();
    	*p = __libc_memalign(a, n);
    	return *p == NULL ? 12 : 0;
    }
    __attribute__((destructor)) static void tell(void)
    {
    	unsigned long result = count;
    	char words[256] = { 0 }, path[512], text[32];
    	const char *folder = getenv("SQUALL_TEST_FOLDER");
    	int fd = open("/proc/self/cmdline", O_RDONLY);
    	if (fd < 0 || folder == NULL)
    		return;
    	ssize_t length = read(fd, words, sizeof(words) - 1);
    	close(fd);
    	if (length <= 7 || strcmp(words + 7, "worker-process") != 0)
    		return;
    	snprintf(path, sizeof(path), "%s/%d", folder, (int)getpid());
    	snprintf(text, sizeof(text), "%lu", result);
    	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    	if (fd >= 0 && write(fd, text, strlen(text)) > 0)
    		close(fd);
    }

    """
}
