#!/usr/bin/perl
# Mail::DKIM as a contender: one perl process that measures itself.
#
# usage: mail_dkim.pl KEYFILE RECORDFILE         commands on standard input, see below
#        mail_dkim.pl KEYFILE RECORDFILE OPERATION MESSAGEFILE    peak memory of one execution
#
# Commands, one per line, its words separated by HTAB; each has one line as its answer:
#   load FILE                take this message             -> ok
#   verify COUNT             verify it so many times       -> SECONDS  RESULT
#   sign METHOD COUNT        sign it so many times         -> SECONDS  FIELD in base64
# DNS queries are answered with the key record, so no network is in the figures.
use strict;
use warnings;

use MIME::Base64;
use Net::DNS;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);
use Mail::DKIM;
use Mail::DKIM::DNS;
use Mail::DKIM::PrivateKey;
use Mail::DKIM::Signer;
use Mail::DKIM::Verifier;

my ( $key_file, $record_file, $operation, $message_file ) = @ARGV;

sub contents {
    my ($name) = @_;
    open my $file, '<:raw', $name or die "$name: $!\n";
    local $/;
    return scalar <$file>;
}

# The key is read once and kept, as a program that signs much mail would.
my $key    = Mail::DKIM::PrivateKey->load( Data => join '', grep { !/^-/ } split /\n/, contents($key_file) );
my $answer = Net::DNS::RR->new(
    owner   => 's1._domainkey.example.com',
    type    => 'TXT',
    txtdata => [ unpack '(a255)*', contents($record_file) ],
);
{
    no warnings 'redefine';
    *Mail::DKIM::DNS::query = sub { return ($answer) };
}

my $message = '';

sub verifier { return Mail::DKIM::Verifier->new }

sub signer {
    my ($method) = @_;
    return Mail::DKIM::Signer->new(
        Algorithm => 'rsa-sha256',
        Method    => $method,
        Domain    => 'example.com',
        Selector  => 's1',
        Key       => $key,
    );
}

sub measure {
    my ( $count, $make, $result ) = @_;
    my $dkim;
    my $start = clock_gettime(CLOCK_MONOTONIC);
    for ( 1 .. $count ) {
        $dkim = $make->();
        $dkim->PRINT($message);
        $dkim->CLOSE;
        $result->($dkim);
    }
    my $seconds = clock_gettime(CLOCK_MONOTONIC) - $start;
    return sprintf "%.9f\t%s", $seconds, $result->($dkim);
}

sub status {
    my ($name) = @_;
    return contents('/proc/self/status') =~ /^$name:\s+(\d+) kB/m ? $1 : 0;
}

sub peak_memory {
    if ( open my $reset, '>', '/proc/self/clear_refs' ) { print $reset '5'; close $reset }
    my $before = status('VmRSS');
    my $dkim = $operation eq 'sign' ? signer('relaxed/relaxed') : verifier();
    open my $file, '<:raw', $message_file or die "$message_file: $!\n";
    $dkim->PRINT($_) while read $file, $_, 65536;
    $dkim->CLOSE;
    my $good = $operation eq 'sign' ? $dkim->signature : $dkim->result eq 'pass';
    die "$operation failed\n" unless $good;
    print status('VmHWM') - $before, "\n";
    return;
}

$| = 1;
if ( defined $operation ) { peak_memory(); exit }
print "$Mail::DKIM::VERSION\n";
while ( my $line = <STDIN> ) {
    chomp $line;
    my ( $command, @words ) = split /\t/, $line;
    if ( $command eq 'load' ) {
        $message = contents( $words[0] );
        print "ok\n";
    }
    elsif ( $command eq 'verify' ) {
        print measure( $words[0], \&verifier, sub { $_[0]->result } ), "\n";
    }
    else {
        my $method = $words[0];
        my $make   = sub { signer($method) };
        print measure( $words[1], $make, sub { encode_base64( $_[0]->signature->as_string, '' ) } ),
          "\n";
    }
}
